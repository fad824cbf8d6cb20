import { onSwift } from '../servers/buckets.ts';
import { operationsOnFaulty } from './operations-faulty.ts';

operationsOnFaulty(onSwift, 7, { functions: 'nothing' });
