import { onScs } from '../servers/buckets.ts';
import { backendSuite } from './backend-suite.ts';
import { onBuckets } from './bucket-ground.ts';

backendSuite('that is a bucket of SCS', {}, async () => await onBuckets(onScs), 40);
