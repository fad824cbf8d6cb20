/** That the flows expect of our registry what the original does. Docker's, the longest, is left out. */
import { distribution } from '../servers/distribution.ts';
import { requires } from '../servers/requires.ts';
import { containerdFlow } from './containerd.ts';
import { interopFlow } from './interop.ts';
import { skopeoFlow } from './skopeo.ts';
import { describe } from 'node:test';

const NAME = 'distribution itself';

describe(NAME, requires('docker-registry'), () => {
  containerdFlow(NAME, distribution);
  skopeoFlow(NAME, distribution);
  interopFlow(NAME, distribution);
});
