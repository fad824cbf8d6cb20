import { onVersitygw } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

// npm run soak does many more.
soakOn(onVersitygw, { seed: 5, steps: 1000 });
