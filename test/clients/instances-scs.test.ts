import { onScs } from '../servers/buckets.ts';
import { instancesFlow } from './instances.ts';

instancesFlow(onScs);
