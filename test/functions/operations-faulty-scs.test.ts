import { onScs } from '../servers/buckets.ts';
import { operationsOnFaulty } from './operations-faulty.ts';

operationsOnFaulty(onScs, 13);
