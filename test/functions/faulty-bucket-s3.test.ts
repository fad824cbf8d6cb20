import { onSwift } from '../servers/buckets.ts';
import { faultyBucket } from './faulty-bucket.ts';

// Where each request costs some milliseconds, fewer things happen than on SCS.
faultyBucket(onSwift, { rounds: 1, readRounds: 2, every: 3, between: 12 });
