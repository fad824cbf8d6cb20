import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { didYouMean } from '../../lib/config/did-you-mean.ts';

describe('an unknown name', () => {
  const known = ['serve', 'start', 'purge-uploads', 'REGISTRY_HTTP_SECRET', 'REGISTRY_HTTP_SECRET_PREVIOUS'];

  for (const [given, meant] of [
    ['serv', 'serve'],
    ['sevre', 'serve'],
    ['stat', 'start'],
    ['purge', 'purge-uploads'],
    ['purge_upload', 'purge-uploads'],
    ['REGISTRY_HTTP_SERCET', 'REGISTRY_HTTP_SECRET'],
    ['REGISTRY_HTTP_SECRETS', 'REGISTRY_HTTP_SECRET'],
    ['REGISTRY_HTTP_SECRET_PREV', 'REGISTRY_HTTP_SECRET_PREVIOUS'],
  ] as const)
    it(`suggests ${meant} for ${given}`, () => {
      assert.equal(didYouMean(given, known), `did you mean ${meant}?`);
    });

  for (const given of ['', 's', 'gc', 'REGISTRY_', 'REGISTRY_HTTP_TIMEOUT', 'x'.repeat(100_000)])
    it(`suggests nothing for ${given.slice(0, 30)}`, () => {
      assert.equal(didYouMean(given, known), undefined);
    });
});
