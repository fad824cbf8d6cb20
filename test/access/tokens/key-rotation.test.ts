import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { publicKeyText } from '../../../lib/access/tokens/keys.ts';
import { send } from '../../functions/client.ts';
import { cleanEnvironment, command } from '../../servers/process.ts';
import { programFile } from '../../servers/programs.ts';
import { askToken, basic, bearer, policySettings, type PolicySettings } from '../policy-registry.ts';
import { prefixed, startRegistry, type TestRegistry } from '../policy-server.ts';

const policy = 'rules: [{ who: alice, repositories: team/**, allow: [pull, push] }]\n';

const [old, fresh] = ['the old secret, long enough to sign', 'a fresh secret, long enough to sign'];

describe('keys of tokens', () => {
  let access: PolicySettings;
  const running: TestRegistry[] = [];
  before(async () => {
    access = await policySettings(policy, ['alice']);
  });
  after(async () => {
    for (const one of running) await one.stop();
    access.remove();
  });

  /** An instance with these of the settings REGISTRY_AUTH_POLICY_…. */
  async function instance(keys: Readonly<Record<string, string>>): Promise<string> {
    const named = prefixed('REGISTRY_AUTH_POLICY_', keys);
    const one = await startRegistry({ settings: { ...access.settings, ...named } });
    running.push(one);
    return one.url;
  }

  const scope = 'repository:team/app:pull';

  const list = async (base: string, headers: Record<string, string>) =>
    (await send(base, { method: 'GET', path: '/v2/team/app/tags/list', headers })).status;

  async function refreshTokenOf(base: string): Promise<string> {
    const reply = await askToken(base, 'alice', [], { offline_token: 'true' });
    return (JSON.parse(reply.body.toString()) as { refresh_token: string }).refresh_token;
  }

  const logIn = async (base: string, user: string, password: string) =>
    (await send(base, { method: 'GET', path: '/token', headers: basic(user, password) })).status;

  it('rotate without a gap: at each step, instances of before and after accept what the others issued', async () => {
    const steps = await Promise.all([
      instance({ SECRET: old }),
      instance({ SECRET: old, SECRET_PREVIOUS: fresh }),
      instance({ SECRET: fresh, SECRET_PREVIOUS: old }),
      instance({ SECRET: fresh }),
    ]);
    for (const [index, issuer] of steps.entries()) {
      const [accessToken, refreshToken] = [
        await bearer(issuer, 'alice', scope),
        await refreshTokenOf(issuer),
      ];
      for (const [other, verifier] of steps.entries()) {
        const isNeighbour = Math.abs(index - other) <= 1;
        const what = `of step ${index} at step ${other}`;
        if (isNeighbour) {
          assert.equal(await list(verifier, accessToken), 404, `the access token ${what}`);
          assert.equal(await logIn(verifier, 'alice', refreshToken), 200, `the refresh token ${what}`);
        } else if (Math.abs(index - other) === 3) {
          assert.equal(await list(verifier, accessToken), 401, `the access token ${what}`);
          assert.equal(await logIn(verifier, 'alice', refreshToken), 401, `the refresh token ${what}`);
        }
      }
    }
  });

  it('of robots rotate as well', async () => {
    const args = ['token', 'create', '--name', 'backup', '--expires', '90d', '--pull', '**'];
    const env = cleanEnvironment({ ...access.settings, REGISTRY_AUTH_POLICY_SECRET: old });
    const { text: password } = await command(
      process.execPath,
      [programFile('lib/commands/stowage.ts'), ...args],
      { env },
    );
    const [both, afterwards] = [
      await instance({ SECRET: fresh, SECRET_PREVIOUS: old }),
      await instance({ SECRET: fresh }),
    ];
    assert.deepEqual(
      [await logIn(both, 'backup', password), await logIn(afterwards, 'backup', password)],
      [200, 401],
    );
  });

  it('that are public let an instance verify tokens and issue none', async () => {
    const issuer = await instance({ SECRET: old });
    const verifier = await instance({ PUBLICKEYS: publicKeyText(old) });
    assert.equal(await list(verifier, await bearer(issuer, 'alice', scope)), 404);
    const requests = [
      { method: 'GET', path: '/token', headers: basic('alice') },
      { method: 'GET', path: '/token', headers: basic('alice', 'wrong') },
      { method: 'GET', path: '/token', headers: { authorization: 'Basic ?' } },
      { method: 'POST', path: '/token' },
    ];
    for (const request of requests) assert.equal((await send(verifier, request)).status, 404);
  });

  it('that are public can be the old and the new ones at once', async () => {
    const verifier = await instance({ PUBLICKEYS: `${publicKeyText(old)}, ${publicKeyText(fresh)}` });
    const onlyOld = await instance({ PUBLICKEYS: publicKeyText(old) });
    for (const secret of [old, fresh]) {
      const headers = await bearer(await instance({ SECRET: secret }), 'alice', scope);
      assert.equal(await list(verifier, headers), 404);
      assert.equal(await list(onlyOld, headers), secret === old ? 404 : 401);
    }
  });

  it('are printed by stowage token keys, the signing one first and never the secret', async () => {
    const env = cleanEnvironment({
      ...access.settings,
      REGISTRY_AUTH_POLICY_SECRET: fresh,
      REGISTRY_AUTH_POLICY_SECRET_PREVIOUS: old,
    });
    const args = [programFile('lib/commands/stowage.ts'), 'token', 'keys'];
    const { text } = await command(process.execPath, args, { env });
    assert.equal(text, `${publicKeyText(fresh)}\n${publicKeyText(old)}`);
  });

  it('are of one service: a token for another is void, though the secret is the same', async () => {
    const [one, other] = [
      await instance({ SECRET: old, SERVICE: 'one' }),
      await instance({ SECRET: old, SERVICE: 'other' }),
    ];
    const [headers, refreshToken] = [await bearer(one, 'alice', scope), await refreshTokenOf(one)];
    assert.deepEqual([await list(one, headers), await list(other, headers)], [404, 401]);
    assert.deepEqual(
      [await logIn(one, 'alice', refreshToken), await logIn(other, 'alice', refreshToken)],
      [200, 401],
    );
  });
});
