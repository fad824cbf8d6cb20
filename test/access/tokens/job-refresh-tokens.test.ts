import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, it, mock } from 'node:test';
import { refreshTokenKeys } from '../../../lib/access/tokens/keys.ts';
import { signRefreshToken } from '../../../lib/access/tokens/private-tokens.ts';
import { send, type Reply } from '../../functions/client.ts';
import { basic } from '../policy-registry.ts';
import { startPolicyRegistry, type PolicyRegistry } from '../policy-server.ts';

const issuer = 'https://issuer.example.com';
const claims = { iss: issuer, aud: 'stowage', repository_id: '7', ref: 'refs/heads/main' };

const policyFor = (name: string, wanted: string, allowed: string) => `
ci:
  ${name}:
    issuer: ${issuer}
    audience: stowage
    claims: { repository_id: "7", ref: ${wanted} }
rules:
  - { who: ci:${name}, repositories: team/**, allow: [${allowed}] }
`;

const usual = policyFor('release', 'refs/heads/main', 'pull, push');

describe('the refresh token of a CI job', () => {
  let registry: PolicyRegistry;
  before(async () => {
    // Time passes where a test says so; files that are written later are old already.
    mock.timers.enable({ apis: ['Date'], now: Date.now() + 3600_000 });
    registry = await startPolicyRegistry(usual, []);
  });
  after(async () => {
    mock.timers.reset();
    await registry.stop();
  });

  async function sign(seconds: number): Promise<string> {
    const keys = refreshTokenKeys([registry.settings['REGISTRY_HTTP_SECRET'] ?? '']);
    return await signRefreshToken(
      keys,
      'stowage',
      { kind: 'ci', claims },
      Math.floor(Date.now() / 1000) + seconds,
    );
  }

  const logIn = async (token: string): Promise<Reply> =>
    await send(registry.url, {
      method: 'GET',
      path: '/token?scope=repository:team/app:pull,push',
      headers: basic('oidc', token),
    });

  async function scopeOf(token: string): Promise<string | undefined> {
    const reply = await logIn(token);
    const { scope } = JSON.parse(reply.body.toString()) as { scope?: string };
    return reply.status === 200 ? scope : `status ${reply.status}`;
  }

  async function putPolicy(text: string): Promise<void> {
    await writeFile(registry.policyPath, text);
    mock.timers.setTime(Date.now() + 2000);
  }

  it('is looked up anew by its claims: another name, no name, and the first again', async () => {
    const token = await sign(3600);
    assert.equal(await scopeOf(token), 'repository:team/app:pull,push');
    await putPolicy(policyFor('nightly', 'refs/heads/*', 'pull'));
    assert.equal(await scopeOf(token), 'repository:team/app:pull');
    await putPolicy(policyFor('release', 'refs/tags/*', 'pull, push'));
    assert.equal(await scopeOf(token), 'status 401');
    await putPolicy('rules: []\n');
    assert.equal(await scopeOf(token), 'status 401');
    await putPolicy(usual);
    assert.equal(await scopeOf(token), 'repository:team/app:pull,push');
  });

  it('pushes at the end of a build of 90 minutes, and not after its own end', async () => {
    const token = await sign(2 * 3600);
    mock.timers.setTime(Date.now() + 90 * 60_000);
    assert.equal(await scopeOf(token), 'repository:team/app:pull,push');
    mock.timers.setTime(Date.now() + 30 * 60_000);
    assert.equal(await scopeOf(token), 'status 401');
  });

  it('gives access tokens that end with it, but for the minute that clients need', async () => {
    for (const [left, least, most] of [
      [3600, 240, 240],
      [200, 190, 200],
      [10, 60, 60],
    ] as const) {
      const reply = await logIn(await sign(left));
      const { expires_in } = JSON.parse(reply.body.toString()) as { expires_in: number };
      assert.ok(expires_in >= least && expires_in <= most, `${expires_in} s of ${left} s`);
    }
  });
});
