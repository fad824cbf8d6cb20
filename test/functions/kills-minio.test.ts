import { onMinio } from '../servers/buckets.ts';
import { killsOn } from './kills.ts';

// On SCS between all of them.
killsOn(onMinio, 'server', 8);
