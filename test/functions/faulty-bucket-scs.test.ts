import { onScs } from '../servers/buckets.ts';
import { faultyBucket } from './faulty-bucket.ts';

// In two rounds there befalls each request something that keeps it from taking effect, and something after it has.
faultyBucket(onScs, { rounds: 2, readRounds: 4, every: 1, between: 3 });
