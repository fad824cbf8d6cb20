import { onMinio } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

// npm run soak does many more.
soakOn(onMinio, { seed: 4, steps: 1000 });
