import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, it, mock } from 'node:test';
import { send, type Reply } from '../../functions/client.ts';
import { cleanEnvironment, command } from '../../servers/process.ts';
import { programFile } from '../../servers/programs.ts';
import { basic } from '../policy-registry.ts';
import { startPolicyRegistry, type PolicyRegistry } from '../policy-server.ts';

const policy = `
rules:
  - { who: '*', repositories: team/secret, deny: '*' }
  - { who: robot:plain, repositories: team/**, allow: pull }
read-only: [archive/**]
`;

const wanted = ['team/app', 'team/secret', 'archive/old'].map(
  (name) => `repository:${name}:pull,push,delete`,
);
const day = 24 * 3600 * 1000;

describe('a robot', () => {
  let registry: PolicyRegistry;
  before(async () => {
    // Time passes where a test says so; files that are written later are old already.
    mock.timers.enable({ apis: ['Date'], now: Date.now() + 3600_000 });
    registry = await startPolicyRegistry(policy, ['alice']);
  });
  after(async () => {
    mock.timers.reset();
    await registry.stop();
  });

  /** Its password, by `stowage token create`. */
  async function create(name: string, ...options: string[]): Promise<string> {
    const args = ['token', 'create', '--name', name, ...options];
    const env = cleanEnvironment(registry.settings);
    const { text } = await command(process.execPath, [programFile('lib/commands/stowage.ts'), ...args], {
      env,
    });
    return text;
  }

  async function logIn(user: string, password: string): Promise<Reply> {
    const path = `/token?${new URLSearchParams({ scope: wanted.join(' '), offline_token: 'true' }).toString()}`;
    return await send(registry.url, { method: 'GET', path, headers: basic(user, password) });
  }

  async function scopesOf(user: string, password: string): Promise<string> {
    const reply = await logIn(user, password);
    assert.equal(reply.status, 200, reply.body.toString());
    const { scope, refresh_token } = JSON.parse(reply.body.toString()) as Record<string, string>;
    assert.equal(refresh_token, undefined, 'its password is what clients keep');
    return scope ?? '';
  }

  async function putPolicy(text: string): Promise<void> {
    await writeFile(registry.policyPath, text);
    mock.timers.setTime(Date.now() + 2000);
  }

  it('without grants may do what the rules say', async () => {
    const password = await create('plain', '--expires', '90d');
    assert.match(password, /^stowage_robot_[\w.-]+$/);
    assert.equal(await scopesOf('plain', password), 'repository:team/app:pull');
    assert.equal(await scopesOf('plain2', await create('plain2', '--expires', '90d')), '');
  });

  it('with grants may do what they cover, unless a rule denies it or the repository is read-only', async () => {
    const grants = ['--push', 'team/*', '--push', 'archive/**', '--delete', 'team/app'];
    const password = await create('writer', '--expires', '12h', ...grants);
    const granted = 'repository:team/app:pull,push,delete repository:archive/old:pull';
    assert.equal(await scopesOf('writer', password), granted);
  });

  it('uses what it was granted, and is denied what its grants lack with the reason', async () => {
    const password = await create('puller', '--expires', '12h', '--pull', 'team/*');
    const { token } = JSON.parse((await logIn('puller', password)).body.toString()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    const [list, upload] = await Promise.all([
      send(registry.url, { method: 'GET', path: '/v2/team/app/tags/list', headers }),
      send(registry.url, { method: 'POST', path: '/v2/team/app/blobs/uploads/', headers }),
    ]);
    assert.deepEqual([list.status, upload.status], [404, 403]);
    assert.match(
      upload.body.toString(),
      /robot:puller may not push in team\/app: the grants of robot:puller/,
    );
  });

  it('is refused under the name of another, and so is every other password', async () => {
    const password = await create('plain', '--expires', '90d');
    for (const user of ['alice', 'plain2', 'ci:plain', 'oidc', ''])
      assert.equal((await logIn(user, password)).status, 401, user);
    assert.equal((await logIn('plain', `${password.slice(0, -4)}AAAA`)).status, 401);
  });

  it('that the policy revokes is locked out, also with a token that it has', async () => {
    const password = await create('plain', '--expires', '90d');
    const { token } = JSON.parse((await logIn('plain', password)).body.toString()) as { token: string };
    const list = {
      method: 'GET',
      path: '/v2/team/app/tags/list',
      headers: { authorization: `Bearer ${token}` },
    };
    assert.equal((await send(registry.url, list)).status, 404);
    await putPolicy(`${policy}\nrobots: { revoked: [plain] }\n`);
    assert.equal((await logIn('plain', password)).status, 401);
    assert.equal((await send(registry.url, list)).status, 403);
    await putPolicy(policy);
    assert.equal((await logIn('plain', password)).status, 200);
  });

  it('whose password is older than not-before is locked out, and one that is younger is not', async () => {
    // The command takes the time of the system.
    const old = await create('plain', '--expires', '90d');
    const at = (ms: number) => new Date(ms).toISOString().replace(/\.\d+/, '');
    const real = Date.now() - 3600_000;
    await putPolicy(`${policy}\nrobots: { not-before: ${at(real + 60_000)} }\n`);
    assert.equal((await logIn('plain', old)).status, 401);
    await putPolicy(`${policy}\nrobots: { not-before: ${at(real - day)} }\n`);
    assert.equal((await logIn('plain', old)).status, 200);
    await putPolicy(policy);
  });

  it('is locked out when its password has expired, and its last token ends a minute later', async () => {
    const [short, long] = [
      await create('plain', '--expires', '2h'),
      await create('plain', '--expires', '90d'),
    ];
    mock.timers.setTime(Date.now() + 58 * 60_000);
    const { expires_in } = JSON.parse((await logIn('plain', short)).body.toString()) as {
      expires_in: number;
    };
    assert.ok(expires_in >= 60 && expires_in <= 120, `${expires_in} s`);
    mock.timers.setTime(Date.now() + 10 * 60_000);
    assert.deepEqual([(await logIn('plain', short)).status, (await logIn('plain', long)).status], [401, 200]);
    mock.timers.setTime(Date.now() + 90 * day);
    assert.equal((await logIn('plain', long)).status, 401);
  });
});
