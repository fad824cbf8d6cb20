import { onScs } from '../servers/buckets.ts';
import { faultyBucket } from './faulty-bucket.ts';

faultyBucket(onScs);
