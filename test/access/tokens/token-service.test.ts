import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { send, type Reply } from '../../functions/client.ts';
import { askToken, basic } from '../policy-registry.ts';
import { startPolicyRegistry, type PolicyRegistry } from '../policy-server.ts';

const policy = `
rules:
  - { who: alice, repositories: [team/**, extra], allow: [pull, push] }
  - { who: anonymous, repositories: public/*, allow: pull }
`;

interface Issued {
  readonly token: string;
  readonly access_token: string;
  readonly expires_in: number;
  readonly issued_at: string;
  readonly scope: string;
  readonly refresh_token?: string;
}

function issued(reply: Reply): Issued {
  assert.equal(reply.status, 200, reply.body.toString());
  return JSON.parse(reply.body.toString()) as Issued;
}

describe('GET /token', () => {
  let registry: PolicyRegistry;
  before(async () => {
    registry = await startPolicyRegistry(policy, ['alice', 'bob']);
  });
  after(async () => {
    await registry.stop();
  });

  const scopeFor = async (user: string | undefined, ...scopes: string[]) =>
    issued(await askToken(registry.url, user, scopes)).scope;

  it('answers with all that the protocol asks for', async () => {
    const before = Date.now();
    const reply = await askToken(registry.url, 'alice', ['repository:team/app:pull']);
    const response = issued(reply);
    assert.match(String(reply.headers['content-type']), /^application\/json/);
    assert.equal(reply.headers['cache-control'], 'no-store');
    assert.equal(response.token, response.access_token);
    assert.ok(response.expires_in >= 60 && response.expires_in <= 300, `${response.expires_in} s`);
    assert.match(response.issued_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    assert.ok(Date.parse(response.issued_at) >= before && Date.parse(response.issued_at) <= Date.now());
    assert.equal(response.scope, 'repository:team/app:pull');
    assert.equal(response.refresh_token, undefined);
  });

  it('signs a JWT of the registry that is valid as long as it says and lists what was granted', async () => {
    const { token, expires_in } = issued(
      await askToken(registry.url, 'alice', ['repository:team/app:pull,delete']),
    );
    const { iat = 0, nbf = 0, exp = 0, ...claims } = decodeJwt(token);
    assert.equal(exp - iat, expires_in);
    assert.ok(nbf <= iat);
    assert.deepEqual(claims, {
      iss: 'stowage',
      aud: 'stowage',
      identity: { kind: 'user', name: 'alice' },
      access: [{ type: 'repository', name: 'team/app', actions: ['pull'] }],
    });
    assert.equal(decodeProtectedHeader(token).alg, 'EdDSA');
  });

  it('grants what the policy allows of several scopes, in several parameters and in one', async () => {
    const scopes = ['repository:team/app:pull,push', 'repository:other:pull', 'repository:extra:push,delete'];
    const granted = 'repository:team/app:pull,push repository:extra:push';
    assert.equal(await scopeFor('alice', ...scopes), granted);
    assert.equal(await scopeFor('alice', scopes.join(' ')), granted);
    assert.equal(await scopeFor('alice', ` ${scopes.join('  ')} `), granted);
  });

  it('joins scopes for the same repository', async () => {
    const scopes = ['repository:team/app:pull', 'repository:team/app:push,pull'];
    assert.equal(await scopeFor('alice', ...scopes), 'repository:team/app:pull,push');
  });

  it('takes * for all that the policy allows', async () => {
    assert.equal(await scopeFor('alice', 'repository:team/app:*'), 'repository:team/app:pull,push');
  });

  it('grants nothing to a user without rights, which is no error', async () => {
    assert.equal(await scopeFor('bob', 'repository:team/app:pull'), '');
  });

  it('grants anonymous callers what the policy does', async () => {
    const scope = await scopeFor(undefined, 'repository:public/app:pull,push', 'repository:team/app:pull');
    assert.equal(scope, 'repository:public/app:pull');
  });

  for (const scope of [
    'repository:localhost:5000/team/app:pull',
    'repository:registry.example.com:443/team/app:pull,push',
    'repository:team/app',
    'repository',
    '',
    ':',
    '::',
    'repository::pull',
    'repository:team/app:',
    'repository:team/app:Pull',
    'repository:TEAM/APP:pull',
    'repository:team/../team/app:pull',
    'repository:team/*:pull',
    'Repository:team/app:pull',
    'namespace:team/app:pull',
    'registry:catalog:pull',
    'registry:other:*',
    'artifact-repository:team/app:pull',
    `repository:team/${'a'.repeat(300)}:pull`,
  ])
    it(`grants nothing for the scope '${scope.slice(0, 60)}', which is no error`, async () => {
      const both = await scopeFor('alice', scope, 'repository:extra:pull');
      assert.equal(both, 'repository:extra:pull');
    });

  it('knows a repository of a class', async () => {
    assert.equal(await scopeFor('alice', 'repository(plugin):team/app:pull'), 'repository:team/app:pull');
  });

  it('grants the catalog, whose names the policy filters', async () => {
    assert.equal(await scopeFor('bob', 'registry:catalog:*'), 'registry:catalog:*');
  });

  it('takes 50 scopes and refuses more with 400', async () => {
    const scopes = (count: number) => Array.from({ length: count }, (_, i) => `repository:team/a${i}:pull`);
    assert.equal((await scopeFor('alice', ...scopes(50))).split(' ').length, 50);
    for (const many of [scopes(51), [scopes(51).join(' ')]])
      assert.equal((await askToken(registry.url, 'alice', many)).status, 400);
  });

  it('takes the service of the challenge and refuses another with 400', async () => {
    assert.equal((await askToken(registry.url, 'alice', [], { service: 'stowage' })).status, 200);
    const other = await askToken(registry.url, 'alice', [], { service: 'registry.example.com' });
    assert.equal(other.status, 400);
    assert.match(other.body.toString(), /service/);
  });

  for (const [what, headers] of [
    ['a wrong password', basic('alice', 'wrong')],
    ['an unknown user', basic('nobody')],
    ['no user', basic('', '')],
    ['no colon', { authorization: `Basic ${Buffer.from('alice').toString('base64')}` }],
    ['another scheme', { authorization: 'Bearer abc' }],
    ['no base64', { authorization: 'Basic ***' }],
  ] as const)
    it(`answers ${what} with 401 and a challenge`, async () => {
      const path = '/token?scope=repository:public/app:pull';
      const reply = await send(registry.url, { method: 'GET', path, headers });
      assert.equal(reply.status, 401);
      assert.match(reply.body.toString(), /"UNAUTHORIZED"/);
      assert.match(String(reply.headers['www-authenticate']), /^Basic realm="[^"]+"/);
      assert.ok(!reply.body.toString().includes('alice'));
    });

  it('answers HEAD without a body', async () => {
    const reply = await send(registry.url, { method: 'HEAD', path: '/token', headers: basic('alice') });
    assert.deepEqual([reply.status, reply.body.byteLength], [200, 0]);
  });

  for (const query of ['service=a&service=stowage', 'offline_token=true&offline_token=false'])
    it(`refuses different values of one parameter: ${query}`, async () => {
      const reply = await send(registry.url, {
        method: 'GET',
        path: `/token?${query}`,
        headers: basic('alice'),
      });
      assert.equal(reply.status, 400);
    });
});

describe('a token service that cannot start', () => {
  it('answers 503 until it can, and says nothing of its files', async () => {
    let mended = false;
    const registry = await startPolicyRegistry(policy, ['alice'], {
      replace: ({ tokens }) => ({
        tokens: async () => {
          if (!mended || tokens === undefined) throw new Error('/etc/stowage/htpasswd cannot be read');
          return await tokens();
        },
      }),
    });
    const reply = await askToken(registry.url, 'alice', []);
    assert.equal(reply.status, 503);
    assert.ok(reply.headers['retry-after']);
    assert.doesNotMatch(reply.body.toString(), /etc/);
    mended = true;
    assert.equal((await askToken(registry.url, 'alice', [])).status, 200);
    await registry.stop();
  });
});
