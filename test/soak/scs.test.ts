import { onScs } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

soakOn(onScs, { seed: 2, steps: 10_000 });
