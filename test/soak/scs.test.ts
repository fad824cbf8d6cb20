import { onScs } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

soakOn(onScs, 2);
