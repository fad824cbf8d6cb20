/** That the flows expect of our registry what the original does. Docker's, the longest, is left out. */
import { distribution2, distribution3 } from '../servers/distribution.ts';
import { requires } from '../servers/requires.ts';
import { containerdFlow } from './containerd.ts';
import { interopFlow } from './interop.ts';
import { skopeoFlow } from './skopeo.ts';
import { describe } from 'node:test';

for (const { name, needs, start } of [distribution2, distribution3])
  describe(`${name} itself`, requires(needs), () => {
    containerdFlow(name, start);
    skopeoFlow(name, start);
    interopFlow(name, start);
  });
