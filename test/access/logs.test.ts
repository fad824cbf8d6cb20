import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { send } from '../functions/client.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { programFile } from '../servers/programs.ts';
import { askToken, basic, passwordOf } from './policy-registry.ts';
import { startPolicyProcess, type PolicyProcess } from './policy-process.ts';

const policy = `
rules:
  - { who: alice, repositories: team/**, allow: [pull, push] }
`;

const formType = { 'content-type': 'application/x-www-form-urlencoded' };

describe('the log of a registry with a policy', () => {
  let registry: PolicyProcess;
  /** Texts that must not be in it. */
  const secrets = new Set<string>();
  before(async () => {
    registry = await startPolicyProcess(policy, ['alice'], { REGISTRY_LOG_LEVEL: 'debug' });
  });
  after(async () => {
    await registry.stop();
  });

  /** Remembers a secret in all the forms in which it travels. */
  function secret(text: string): string {
    for (const form of [
      text,
      encodeURIComponent(text),
      Buffer.from(text).toString('base64').replace(/=+$/, ''),
    ])
      secrets.add(form);
    for (const part of text.split('.')) if (part.length > 30) secrets.add(part);
    return text;
  }

  const get = async (path: string, headers: Record<string, string>) =>
    await send(registry.url, { method: 'GET', path, headers });

  const post = async (form: Record<string, string>) =>
    await send(registry.url, {
      method: 'POST',
      path: '/token',
      headers: formType,
      body: Buffer.from(new URLSearchParams(form).toString()),
    });

  async function logInWell(): Promise<void> {
    const reply = await askToken(registry.url, 'alice', ['repository:team/app:pull,push'], {
      offline_token: 'true',
    });
    const tokens = JSON.parse(reply.body.toString()) as Record<string, string>;
    const [token, refreshToken] = [secret(tokens['token'] ?? ''), secret(tokens['refresh_token'] ?? '')];
    await post({ grant_type: 'refresh_token', refresh_token: refreshToken });
    await get('/token', basic('alice', refreshToken));
    const authorization = `Bearer ${token}`;
    await get('/v2/', { authorization });
    await send(registry.url, {
      method: 'POST',
      path: '/v2/team/app/blobs/uploads/',
      headers: { authorization },
    });
    const tooShort = token.slice(0, -5);
    await get('/v2/team/app/tags/list', { authorization: `Bearer ${tooShort}` });
    await get('/v2/team/app/tags/list', { authorization: `Bearer ${refreshToken}` });
    await get(`/v2/team/app/tags/list?token=${token}`, {});
    const args = ['token', 'create', '--name', 'backup', '--expires', '1h', '--pull', '**'];
    const env = cleanEnvironment(registry.settings);
    const { text } = await command(process.execPath, [programFile('lib/commands/stowage.ts'), ...args], {
      env,
    });
    await get('/token', basic('backup', secret(text)));
    await get('/token', basic('other', text));
  }

  async function logInBadly(): Promise<void> {
    const wrong = secret('a wrong password');
    await get('/token', basic('alice', wrong));
    await get(`/token?password=${encodeURIComponent(wrong)}`, { authorization: `Basic ${wrong}` });
    await get('/v2/', basic('alice', wrong));
    await post({ grant_type: 'password', username: 'alice', password: wrong });
    await post({ grant_type: 'password', username: wrong, password: '' });
    await post({ grant_type: wrong });
    await send(registry.url, {
      method: 'POST',
      path: '/token',
      headers: formType,
      body: Buffer.from(wrong.repeat(5000)),
    });
    await get('/token', basic('oidc', secret(`${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`)));
    await get('/token', basic('alice', `stowage_refresh_${wrong}`));
  }

  it('has neither passwords nor tokens nor hashes in it, whatever goes wrong', async () => {
    secret(passwordOf('alice'));
    secret(registry.settings['REGISTRY_HTTP_SECRET'] ?? '');
    const line = await readFile(registry.htpasswdPath, 'utf8');
    secret(line.trim().replace('alice:', ''));
    secret('a password without a hash');
    await logInWell();
    await logInBadly();
    await writeFile(registry.htpasswdPath, `${line}bob:a password without a hash\n`);
    await writeFile(registry.policyPath, `${policy}\npasswords: { alice: 'a password without a hash' }\n`);
    await delay(1100);
    await logInWell();
    await logInBadly();
    await writeFile(registry.htpasswdPath, line);
    await delay(1100);
    await logInWell();
    const output = registry.output();
    assert.match(output, /"path":"\/token"/);
    assert.match(output, /line 2 has no bcrypt hash/);
    assert.match(output, /passwords/, 'it says what is wrong with the policy');
    assert.match(output, /"msg":"denied"|"msg":"granted"/);
    assert.ok(secrets.size > 20);
    for (const one of secrets) assert.ok(!output.includes(one), `the log has ${one}`);
    assert.doesNotMatch(output, /\$2[aby]\$\d\d\$/);
  });
});
