import { onSwift } from '../servers/buckets.ts';
import { killsOn } from './kills.ts';

killsOn(onSwift, 'functions');
