import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { send, type Reply } from '../functions/client.ts';
import { basic } from './policy-registry.ts';
import { startPolicyRegistry, type PolicyRegistry } from './policy-server.ts';

const policy = `
rules:
  - { who: alice, repositories: '**', allow: [pull, push] }
`;

const page = 'https://ui.example.com';

describe('web pages of other origins', () => {
  const running: PolicyRegistry[] = [];
  after(async () => {
    for (const one of running) await one.stop();
  });

  /** @param origins undefined for the default */
  async function start(
    origins?: string,
  ): Promise<(method: string, path: string, headers?: Record<string, string>) => Promise<Reply>> {
    const settings = origins === undefined ? {} : { REGISTRY_HTTP_CORS_ORIGINS: origins };
    const registry = await startPolicyRegistry(policy, ['alice'], { settings });
    running.push(registry);
    return async (method, path, headers = {}) => await send(registry.url, { method, path, headers });
  }

  const corsHeaders = ({ headers }: Reply) =>
    Object.keys(headers)
      .filter((name) => name.startsWith('access-control-'))
      .sort();

  const preflight = {
    origin: page,
    'access-control-request-method': 'PUT',
    'access-control-request-headers': 'authorization,content-type',
  };

  const requests = [
    ['OPTIONS', '/v2/team/app/manifests/v1', preflight],
    ['GET', '/v2/', { origin: page }],
    ['GET', '/token', { origin: page, ...basic('alice') }],
    ['GET', '/v2/none', { origin: page }],
  ] as const;

  it('may read nothing by default', async () => {
    const ask = await start();
    for (const [method, path, headers] of requests) {
      const reply = await ask(method, path, headers);
      assert.deepEqual(corsHeaders(reply), [], `${method} ${path}`);
      assert.equal(reply.headers.vary, undefined);
    }
  });

  it('may read nothing unless they are listed, by their whole origin', async () => {
    const ask = await start(`${page} http://localhost:8080`);
    for (const origin of [
      'https://evil.example.com',
      'http://ui.example.com',
      'https://ui.example.com:8443',
      'https://ui.example.com.evil.com',
      'https://evil-ui.example.com',
      'https://UI.example.com/',
      'null',
      '*',
      '',
    ])
      for (const [method, path, headers] of requests) {
        const reply = await ask(method, path, { ...headers, origin });
        assert.deepEqual(corsHeaders(reply), [], `${origin} ${method} ${path}`);
        assert.match(reply.headers.vary ?? '', /origin/i, 'caches must tell origins apart');
      }
  });

  for (const origin of [page, 'http://localhost:8080'])
    it(`may read responses where ${origin} is listed, with credentials`, async () => {
      const ask = await start(`${page}, http://localhost:8080`);
      for (const [method, path, headers] of requests) {
        const reply = await ask(method, path, { ...headers, origin });
        assert.equal(reply.headers['access-control-allow-origin'], origin, `${method} ${path}`);
        assert.equal(reply.headers['access-control-allow-credentials'], 'true');
        assert.match(reply.headers.vary ?? '', /origin/i);
      }
    });

  it('may read responses from everywhere with *, and without the credentials of the browser', async () => {
    const ask = await start('*');
    for (const origin of [page, 'null', 'http://a', '*'])
      for (const [method, path, headers] of requests) {
        const reply = await ask(method, path, { ...headers, origin });
        assert.equal(reply.headers['access-control-allow-origin'], '*');
        assert.equal(reply.headers['access-control-allow-credentials'], undefined);
      }
  });

  it('get the same responses as others where they send no Origin', async () => {
    const ask = await start('*');
    assert.deepEqual(corsHeaders(await ask('GET', '/v2/')), []);
  });

  it('are told in a preflight, without credentials, what they may send', async () => {
    const ask = await start(page);
    for (const path of [
      '/v2/',
      '/v2/team/app/manifests/v1',
      '/v2/team/app/blobs/uploads/',
      '/token',
      '/v2/_catalog',
    ]) {
      const reply = await ask('OPTIONS', path, preflight);
      const list = (name: string) => String(reply.headers[name]).toLowerCase().split(/, */);
      assert.equal(reply.status, 204, path);
      assert.equal(reply.body.byteLength, 0);
      for (const method of ['get', 'head', 'post', 'put', 'patch', 'delete'])
        assert.ok(list('access-control-allow-methods').includes(method), method);
      for (const header of [
        'authorization',
        'content-type',
        'content-range',
        'accept',
        'range',
        'if-match',
        'if-range',
      ])
        assert.ok(list('access-control-allow-headers').includes(header), header);
      assert.ok(Number(reply.headers['access-control-max-age']) > 0);
      assert.match(String(reply.headers.allow), /OPTIONS/);
    }
  });

  it('can log in: they read the challenge of a 401, get a token, and read what that opens', async () => {
    const ask = await start(page);
    const refused = await ask('GET', '/v2/team/app/tags/list', { origin: page });
    assert.equal(refused.status, 401);
    const exposed = String(refused.headers['access-control-expose-headers']).toLowerCase().split(/, */);
    for (const header of [
      'www-authenticate',
      'docker-content-digest',
      'link',
      'location',
      'range',
      'content-range',
      'retry-after',
      'etag',
    ])
      assert.ok(exposed.includes(header), header);
    const challenge = String(refused.headers['www-authenticate']);
    const [, realm = '', service = '', scope = ''] =
      /^Bearer realm="([^"]+)",service="([^"]+)",scope="([^"]+)"$/.exec(challenge) ?? [];
    const { pathname } = new URL(realm);
    const query = new URLSearchParams({ service, scope }).toString();
    const issued = await ask('GET', `${pathname}?${query}`, { origin: page, ...basic('alice') });
    assert.equal(issued.headers['access-control-allow-origin'], page);
    const { token } = JSON.parse(issued.body.toString()) as { token: string };
    const headers = { origin: page, authorization: `Bearer ${token}` };
    const found = await ask('GET', '/v2/team/app/tags/list', headers);
    assert.equal(found.status, 404);
    assert.equal(found.headers['access-control-allow-origin'], page);
  });

  it('can read a refusal of wrong credentials', async () => {
    const ask = await start(page);
    const reply = await ask('GET', '/token', { origin: page, ...basic('alice', 'wrong') });
    assert.equal(reply.status, 401);
    assert.equal(reply.headers['access-control-allow-origin'], page);
  });
});
