import { onSwift } from '../servers/buckets.ts';
import { killsOn } from './kills.ts';

// On SCS between all of them.
killsOn(onSwift, 'server', 4);
