/** Tokens that were accepted are refused once they have expired, although they are remembered. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, it, mock } from 'node:test';
import type { AccessControl } from '../../../lib/access/access.ts';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';
import { accessTokenSeconds, signAccessToken } from '../../../lib/access/tokens/access-tokens.ts';
import { ExternalTokens } from '../../../lib/access/tokens/external.ts';
import { accessTokenKey } from '../../../lib/access/tokens/keys.ts';
import { PolicyAccess } from '../../../lib/access/tokens/policy-access.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { keySet, newSigner, payload } from './external-server.ts';
import { genuine } from './forgeries.ts';

/** That clocks may differ. */
const leewayMs = 60_000;

async function assertExpires(access: AccessControl, token: string, afterMs: number): Promise<void> {
  const start = Date.now();
  const authenticate = async () =>
    await access.authenticate({ authorization: `Bearer ${token}`, address: undefined, origin: '' });
  for (const pastMs of [0, 1_000, afterMs - 1]) {
    mock.timers.setTime(start + pastMs);
    assert.equal((await authenticate()).actor, 'alice');
  }
  mock.timers.setTime(start + afterMs);
  await assert.rejects(authenticate, { failure: 'UNAUTHORIZED' });
}

describe('an accepted token is refused once it has expired', () => {
  afterEach(() => {
    mock.timers.reset();
  });

  it('if another server issued it', async () => {
    mock.timers.enable({ apis: ['Date'], now: 1_800_000_000_000 });
    const folder = await temporaryFolder('expiry');
    const signer = newSigner('first');
    const jwks = join(folder.path, 'keys.json');
    await writeFile(jwks, keySet(signer));
    const access = await ExternalTokens.open({
      realm: 'https://auth.example.com/token',
      service: 'registry.example.com',
      issuer: 'auth.example.com',
      algorithms: undefined,
      autoRedirect: false,
      autoRedirectPath: '',
      jwks,
      rootCertBundle: undefined,
    });
    folder.remove();
    await assertExpires(access, genuine(signer, payload()), 300_000 + leewayMs);
  });

  it('if this registry issued it', async () => {
    mock.timers.enable({ apis: ['Date'], now: 1_800_000_000_000 });
    const key = accessTokenKey('a secret that is long enough to sign');
    const policy = parsePolicy('rules: []\n');
    const access = new PolicyAccess({
      policies: { current: async () => await Promise.resolve(policy) },
      keys: [key],
      service: 'registry',
      host: undefined,
      tokenPath: '/token',
    });
    const alice = { identity: { kind: 'user', name: 'alice' }, access: [] } as const;
    const token = await signAccessToken(key, 'registry', alice, accessTokenSeconds);
    await assertExpires(access, token, accessTokenSeconds * 1000 + leewayMs);
  });
});
