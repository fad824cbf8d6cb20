import { describe } from 'node:test';
import { faults, faultyUpstreams, type FaultyUpstream } from '../cache/faulty-upstreams.ts';
import { requires } from '../servers/requires.ts';

describe('a cache of a registry that fails at any step', requires('docker-registry'), () => {
  const registries = ['this registry, with tokens', 'distribution, with basic authentication'] as const;
  const steps = [1, 2, 5, 7].flatMap((every) =>
    Array.from({ length: every }, (_, phase) => ({ every, phase })),
  );
  faultyUpstreams(
    steps.flatMap((step) =>
      registries.flatMap((registry) => faults.map((fault): FaultyUpstream => ({ registry, fault, ...step }))),
    ),
  );
});
