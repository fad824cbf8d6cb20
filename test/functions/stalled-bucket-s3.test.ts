import { onSwift } from '../servers/buckets.ts';
import { stalledBucket } from './stalled-bucket.ts';

stalledBucket(onSwift);
