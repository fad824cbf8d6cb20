import { onVersitygw } from '../servers/buckets.ts';
import { killsOn } from './kills.ts';

// On SCS between all of them.
killsOn(onVersitygw, 'server', 8);
