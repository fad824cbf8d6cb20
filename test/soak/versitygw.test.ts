import { onVersitygw } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

soakOn(onVersitygw, { seed: 5, steps: 2000 });
