import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { trustedRealm } from '../../lib/upstream/realm.ts';

describe('the realm of a token service', () => {
  const trusted: readonly (readonly [registry: string, realm: string])[] = [
    ['https://registry-1.docker.io', 'https://auth.docker.io/token'],
    ['https://ghcr.io', 'https://ghcr.io/token'],
    ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth'],
    ['https://harbor.example.co.uk', 'https://auth.example.co.uk/token'],
    ['https://registry.internal:5000', 'https://registry.internal:5001/token'],
    ['http://127.0.0.1:5000', 'http://127.0.0.1:5001/token'],
    ['http://127.0.0.1:5000', 'https://127.0.0.1/token'],
  ];
  for (const [registry, realm] of trusted)
    it(`of ${registry} may be ${realm}`, async () => {
      assert.equal((await trustedRealm(realm, new URL(registry))).href, realm);
    });

  const refused: readonly (readonly [registry: string, realm: string, why: RegExp])[] = [
    ['https://registry-1.docker.io', 'https://auth.docker.example/token', /on another domain/],
    ['https://registry.example.com', 'https://example.com.evil.org/token', /on another domain/],
    ['https://harbor.example.co.uk', 'https://other.co.uk/token', /on another domain/],
    // Below these suffixes anyone may register a name.
    ['https://alice.github.io', 'https://mallory.github.io/token', /on another domain/],
    ['https://registry.internal', 'https://auth.other.internal/token', /on another domain/],
    ['http://127.0.0.1:5000', 'http://localhost:5000/token', /on another domain/],
    ['http://127.0.0.1:5000', 'http://127.0.0.2/token', /on another domain/],
    ['https://registry.example.com', 'https://169.254.169.254/latest', /on another domain/],
    ['https://registry.example.com', 'http://registry.example.com/token', /not on https/],
    [
      'https://registry.example.com',
      'https://me:secret@registry.example.com/token',
      /with credentials in its URL/,
    ],
    ['https://registry.example.com', 'file:///etc/passwd', /no URL of a token service/],
    ['https://registry.example.com', '/token', /no URL of a token service/],
  ];
  for (const [registry, realm, why] of refused)
    it(`of ${registry} may not be ${realm}`, async () => {
      await assert.rejects(trustedRealm(realm, new URL(registry)), (error: Error) => {
        assert.match(error.message, why);
        assert.ok(!error.message.includes('secret'));
        return true;
      });
    });
});
