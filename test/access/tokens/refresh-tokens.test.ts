import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, it, mock } from 'node:test';
import { decodeJwt } from 'jose';
import { accessTokenKey, refreshTokenKeys, robotTokenKeys } from '../../../lib/access/tokens/keys.ts';
import { signAccessToken } from '../../../lib/access/tokens/access-tokens.ts';
import {
  signRefreshToken,
  signRobotToken,
  type RefreshHolder,
} from '../../../lib/access/tokens/private-tokens.ts';
import { send, type Reply } from '../../functions/client.ts';
import { askToken, basic, htpasswdOf } from '../policy-registry.ts';
import { startPolicyRegistry, type PolicyRegistry } from '../policy-server.ts';

const policy = `
rules:
  - { who: [alice, bob, carol], repositories: team/**, allow: [pull, push] }
`;

const scope = 'repository:team/app:pull,push';
const hour = 3600;
const day = 24 * hour;

/** Moves the clock. */
function pass(seconds: number): void {
  mock.timers.setTime(Date.now() + seconds * 1000);
}

describe('a refresh token', () => {
  let registry: PolicyRegistry;
  let secret: string;
  before(async () => {
    // Time passes where a test says so; files that are written later are old already.
    mock.timers.enable({ apis: ['Date'], now: Date.now() + hour * 1000 });
    registry = await startPolicyRegistry(policy, ['alice', 'bob', 'carol']);
    secret = registry.settings['REGISTRY_HTTP_SECRET'] ?? '';
  });
  after(async () => {
    mock.timers.reset();
    await registry.stop();
  });

  /** As `docker login` does. */
  async function logIn(user: string): Promise<string> {
    const more = { account: user, client_id: 'docker', offline_token: 'true', service: 'stowage' };
    const reply = await askToken(registry.url, user, [], more);
    const { refresh_token: token } = JSON.parse(reply.body.toString()) as { refresh_token?: string };
    assert.ok(token, reply.body.toString());
    return token;
  }

  /** As docker does with a refresh token. */
  async function refresh(token: string): Promise<Reply> {
    const form = {
      grant_type: 'refresh_token',
      service: 'stowage',
      client_id: 'docker',
      scope,
      refresh_token: token,
    };
    return await send(registry.url, {
      method: 'POST',
      path: '/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: Buffer.from(new URLSearchParams(form).toString()),
    });
  }

  /** What a real one says of its user, to be signed otherwise. */
  async function holder(): Promise<RefreshHolder> {
    return decodeJwt((await logIn('alice')).replace(/^stowage_refresh_/, ''))['holder'] as RefreshHolder;
  }

  const expires = () => Math.floor(Date.now() / 1000) + hour;

  const statusOf = async (token: string) => (await refresh(token)).status;

  const scopeOf = (reply: Reply) => (JSON.parse(reply.body.toString()) as { scope?: string }).scope;

  it('is exchanged for access tokens any number of times, and for no other refresh token', async () => {
    const token = await logIn('alice');
    for (const reply of [await refresh(token), await refresh(token)]) {
      assert.equal(scopeOf(reply), scope);
      assert.ok(!reply.body.toString().includes('refresh_token'));
    }
  });

  it('serves as a password for clients that store only passwords', async () => {
    const headers = basic('alice', await logIn('alice'));
    const path = `/token?scope=${scope}`;
    assert.equal(scopeOf(await send(registry.url, { method: 'GET', path, headers })), scope);
  });

  it('has nothing of the password in it', async () => {
    const [, payload = ''] = (await logIn('alice')).split('.');
    const claims = Buffer.from(payload, 'base64url').toString();
    assert.deepEqual(Object.keys(JSON.parse(claims) as object).sort(), [
      'aud',
      'exp',
      'holder',
      'iat',
      'iss',
    ]);
    assert.ok(!claims.includes('password of alice') && !claims.includes('$2'));
  });

  it('is evaluated by the policy of the day', async () => {
    const token = await logIn('carol');
    await writeFile(registry.policyPath, 'rules: [{ who: carol, repositories: team/app, allow: pull }]\n');
    pass(2);
    assert.equal(scopeOf(await refresh(token)), 'repository:team/app:pull');
    await writeFile(registry.policyPath, policy);
    pass(2);
    assert.equal(scopeOf(await refresh(token)), scope);
  });

  it('dies with its line in the password file, be it removed or changed, and does not come back', async () => {
    const [ofAlice, ofBob] = [await logIn('alice'), await logIn('bob')];
    const both = await htpasswdOf(['alice', 'bob', 'carol']);
    const [, lineOfBob = ''] = both.split('\n');
    await writeFile(registry.htpasswdPath, `${lineOfBob}\n`);
    pass(2);
    const replies = [await refresh(ofAlice), await refresh(ofBob)];
    for (const reply of replies) {
      assert.equal(reply.status, 401);
      assert.match(reply.body.toString(), /log in again/);
    }
    await writeFile(registry.htpasswdPath, both);
    pass(2);
    assert.deepEqual([await statusOf(ofAlice), await statusOf(ofBob)], [401, 401]);
    assert.equal(await statusOf(await logIn('alice')), 200);
  });

  it('ends after 90 days, and so does what is made of it', async () => {
    const token = await logIn('alice');
    pass(89 * day);
    assert.equal(await statusOf(token), 200);
    // As a password it becomes another one that ends no later.
    const path = '/token?offline_token=true';
    const reply = await send(registry.url, { method: 'GET', path, headers: basic('alice', token) });
    const { refresh_token: other = '' } = JSON.parse(reply.body.toString()) as { refresh_token?: string };
    assert.equal(await statusOf(other), 200);
    pass(day);
    assert.deepEqual([await statusOf(token), await statusOf(other)], [401, 401]);
  });

  it('is not given to anonymous callers', async () => {
    const reply = await askToken(registry.url, undefined, [], { offline_token: 'true' });
    assert.equal(reply.status, 200);
    assert.ok(!reply.body.toString().includes('refresh_token'));
  });

  describe('and the other kinds of tokens', () => {
    const identity = { kind: 'robot', name: 'backup', issuedAt: 0 } as const;
    const robotWith = async (name: string, keys: readonly Uint8Array[]) =>
      await signRobotToken(keys, 'stowage', { name, grants: undefined }, expires());
    const bare = (token: string) => token.replace(/^stowage_(refresh|robot)_/, '');

    it('are taken for none but their own kind', async () => {
      const refreshToken = await logIn('alice');
      const robotToken = await robotWith('backup', robotTokenKeys([secret]));
      const accessToken = await signAccessToken(
        accessTokenKey(secret),
        'stowage',
        { identity, access: [] },
        300,
      );
      const asRefresh = [
        accessToken,
        `stowage_refresh_${accessToken}`,
        robotToken,
        `stowage_refresh_${bare(robotToken)}`,
        bare(refreshToken),
      ];
      for (const token of asRefresh) assert.equal(await statusOf(token), 401, token);
      const asPassword = [
        accessToken,
        `stowage_robot_${accessToken}`,
        `stowage_robot_${bare(refreshToken)}`,
        bare(robotToken),
      ];
      for (const user of ['alice', 'backup', 'oidc'])
        for (const token of asPassword) {
          const reply = await send(registry.url, {
            method: 'GET',
            path: '/token',
            headers: basic(user, token),
          });
          assert.equal(reply.status, 401, `${user}: ${token}`);
        }
      const asAccess = [refreshToken, bare(refreshToken), robotToken, bare(robotToken)];
      for (const token of asAccess) {
        const headers = { authorization: `Bearer ${token}` };
        assert.equal((await send(registry.url, { method: 'GET', path: '/v2/', headers })).status, 401, token);
      }
    });

    it('have keys of their own: one signed with those of another kind is void', async () => {
      const access = accessTokenKey(secret).privateKey.export({ format: 'jwk' });
      const keyBytes = [access.d, access.x].map((text = '') => [Buffer.from(text, 'base64url')]);
      const [refreshKeys, robotKeys] = [refreshTokenKeys([secret]), robotTokenKeys([secret])];
      const refreshWith = async (keys: readonly Uint8Array[]) =>
        await statusOf(await signRefreshToken(keys, 'stowage', await holder(), expires()));
      const logInWith = async (keys: readonly Uint8Array[]) => {
        const headers = basic('backup', await robotWith('backup', keys));
        return (await send(registry.url, { method: 'GET', path: '/token', headers })).status;
      };
      assert.deepEqual([await refreshWith(refreshKeys), await logInWith(robotKeys)], [200, 200]);
      for (const keys of [robotKeys, ...keyBytes]) assert.equal(await refreshWith(keys), 401);
      for (const keys of [refreshKeys, ...keyBytes]) assert.equal(await logInWith(keys), 401);
    });
  });

  for (const [what, change] of [
    ['altered', (token: string) => `${token.slice(0, -4)}AAAA`],
    ['cut', (token: string) => token.slice(0, -10)],
    ['without a signature', (token: string) => token.slice(0, token.lastIndexOf('.') + 1)],
    [
      'with alg=none',
      (token: string) =>
        `stowage_refresh_${Buffer.from('{"alg":"none"}').toString('base64url')}.${token.split('.')[1] ?? ''}.`,
    ],
    ['empty', () => 'stowage_refresh_'],
  ] as const)
    it(`is refused when it is ${what}`, async () => {
      const reply = await refresh(change(await logIn('alice')));
      assert.equal(reply.status, 401);
    });

  it('of another registry is refused, though the secret is the same', async () => {
    const keys = refreshTokenKeys([secret]);
    assert.equal(await statusOf(await signRefreshToken(keys, 'other', await holder(), expires())), 401);
  });

  it('is accepted as a password under the name of its user alone', async () => {
    const token = await logIn('alice');
    const statusAs = async (user: string) =>
      (await send(registry.url, { method: 'GET', path: '/token', headers: basic(user, token) })).status;
    assert.deepEqual([await statusAs('alice'), await statusAs('bob')], [200, 401]);
  });
});
