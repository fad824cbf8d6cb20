import { onScs } from '../servers/buckets.ts';
import { soakOn } from './on-buckets.ts';

// Each answer comes by the same code as on a folder, which gets 10,000: npm run soak -- --on SCS --rounds 1 --steps 10000 --seed 2
soakOn(onScs, { seed: 2, steps: 3000 });
