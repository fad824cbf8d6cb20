import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { didYouMean } from '../../lib/config/did-you-mean.ts';

describe('an unknown name', () => {
  const known = [
    ...['serve', 'start', 'purge-uploads', 'REGISTRY_HTTP_SECRET', 'REGISTRY_HTTP_SECRET_PREVIOUS'],
    ...[
      'REGISTRY_HTTP_TRUSTEDPROXIES',
      'REGISTRY_HTTP_DEBUG_ADDR',
      'REGISTRY_HTTP_ADDR',
      'REGISTRY_HTTP_HOST',
    ],
    ...['REGISTRY_AUTH_TOKEN_SERVICE', 'http.trustedproxies'],
  ];

  for (const [given, meant] of [
    ['serv', 'serve'],
    ['sevre', 'serve'],
    ['stat', 'start'],
    ['purge', 'purge-uploads'],
    ['purge_upload', 'purge-uploads'],
    ['REGISTRY_HTTP_SERCET', 'REGISTRY_HTTP_SECRET'],
    ['REGISTRY_HTTP_SECRETS', 'REGISTRY_HTTP_SECRET'],
    ['REGISTRY_HTTP_SECRET_PREV', 'REGISTRY_HTTP_SECRET_PREVIOUS'],
    ['REGISTRY_HTTP_TRUSTEDPROXY', 'REGISTRY_HTTP_TRUSTEDPROXIES'],
    ['http.trustedproxy', 'http.trustedproxies'],
    ['REGISTRY_HTTP_DEBUG_ADDRESS', 'REGISTRY_HTTP_DEBUG_ADDR'],
    ['REGISTRY_HTTP_ADDRESS', 'REGISTRY_HTTP_ADDR'],
    ['REGISTRY_HTTP_HOSTNAME', 'REGISTRY_HTTP_HOST'],
  ] as const)
    it(`suggests ${meant} for ${given}`, () => {
      assert.equal(didYouMean(given, known), `did you mean ${meant}?`);
    });

  for (const given of [
    '',
    's',
    'gc',
    'REGISTRY_',
    'REGISTRY_HTTP_TIMEOUT',
    'REGISTRY_AUTH_TOKEN_SERVER',
    'REGISTRY_HTTP_DEBUG_HOST',
    'REGISTRY_HTTP_ADDR_IPV6',
    'x'.repeat(100_000),
  ])
    it(`suggests nothing for ${given.slice(0, 30)}`, () => {
      assert.equal(didYouMean(given, known), undefined);
    });
});
