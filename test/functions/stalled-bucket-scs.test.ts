import { onScs } from '../servers/buckets.ts';
import { stalledBucket } from './stalled-bucket.ts';

stalledBucket(onScs);
