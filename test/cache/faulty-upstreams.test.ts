import { describe } from 'node:test';
import { requires } from '../servers/requires.ts';
import { faults, faultyUpstreams } from './faulty-upstreams.ts';

// The rest is in test/long.
describe('a cache of a registry that fails', requires('docker-registry'), () => {
  faultyUpstreams([
    ...faults.map((fault) => ({ registry: 'this registry, with tokens', fault, every: 3 }) as const),
    ...faults.map(
      (fault) => ({ registry: 'distribution, with basic authentication', fault, every: 3 }) as const,
    ),
    ...([1, 2] as const).map(
      (every) => ({ registry: 'this registry, with tokens', fault: 'sends a wrong byte', every }) as const,
    ),
    { registry: 'distribution, with basic authentication', fault: 'cuts the body', every: 2 },
  ]);
});
