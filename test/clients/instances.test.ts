import { onSwift } from '../servers/buckets.ts';
import { instancesFlow } from './instances.ts';

instancesFlow(onSwift);
