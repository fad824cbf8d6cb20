import { onSwift } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

/*
 * Swift lists objects some time after they are written. And while it replaces an object it has, for a moment, neither: of
 * 2000 HEADs beside three writers of one object some were 404. S3 promises that neither happens.
 */
soakOn(onSwift, 3, { listingsLag: true, rewritesFlicker: true });
