import { onScs } from '../servers/buckets.ts';
import { faultyBucket } from './faulty-bucket.ts';

// In two rounds there befalls each request something that keeps it from taking effect, and something after it has;
// in six each request that reads has met all there is.
faultyBucket(onScs, { rounds: 2, readRounds: 6, every: 1, between: 2 });
