import { onScs } from '../servers/buckets.ts';
import { killsOn } from './kills.ts';

// The server between all of them: what both do with the bucket is the same code.
killsOn(onScs, 'functions', 2);
