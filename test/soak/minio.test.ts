import { onMinio } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

soakOn(onMinio, { seed: 4, steps: 2000 });
