import { onSwift } from '../servers/buckets.ts';
import { faultyBucket } from './faulty-bucket.ts';

faultyBucket(onSwift);
