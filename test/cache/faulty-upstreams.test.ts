import { describe } from 'node:test';
import { requires } from '../servers/requires.ts';
import { faults, faultyUpstreams } from './faulty-upstreams.ts';

// The rest is in test/long.
describe('a cache of a registry that fails', requires('docker-registry'), () => {
  faultyUpstreams([
    ...faults.map(
      (fault, i) => ({ registry: 'this registry, with tokens', fault, every: 3, phase: i % 3 }) as const,
    ),
    ...faults.map(
      (fault, i) =>
        ({
          registry: 'distribution, with basic authentication',
          fault,
          every: 3,
          phase: (i + 1) % 3,
        }) as const,
    ),
    ...([1, 2] as const).map(
      (every) =>
        ({ registry: 'this registry, with tokens', fault: 'sends a wrong byte', every, phase: 0 }) as const,
    ),
    { registry: 'distribution, with basic authentication', fault: 'cuts the body', every: 2, phase: 0 },
  ]);
});
