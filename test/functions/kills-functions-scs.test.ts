import { onScs } from '../servers/buckets.ts';
import { killsOn } from './kills.ts';

killsOn(onScs, 'functions');
