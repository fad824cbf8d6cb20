import { onSwift } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

/*
 * Swift lists objects some time after they are written. And while it replaces an object it has, for a moment, neither: of
 * 2000 HEADs beside three writers of one object some were 404. S3 promises that neither happens.
 *
 * 10,000 steps take ten minutes of a processor: npm run soak -- --on Swift --rounds 1 --steps 10000 --seed 3
 */
soakOn(onSwift, { seed: 3, steps: 600, listingsLag: true, rewritesFlicker: true });
