import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { send } from '../../functions/client.ts';
import { ExternalRegistries, keySet, listTags, newSigner, payload } from './external-server.ts';
import { genuine, jws, otherAccess, withinLeeway, wrongClaims, wronglySigned } from './forgeries.ts';

describe('an access token of REGISTRY_AUTH=token', () => {
  const registries = new ExternalRegistries();
  const [signer, second] = [newSigner('first'), newSigner('second')];
  let url: string;
  before(async () => {
    url = await registries.start({ JWKS: await registries.file(keySet(signer, second)) });
  });
  after(async () => {
    await registries.stop();
  });

  async function assertRefused(token: string, what: string): Promise<void> {
    for (const path of ['/v2/', '/v2/team/app/tags/list', '/v2/_catalog']) {
      const reply = await listTags(url, token, path);
      assert.equal(reply.status, 401, `${what}: ${reply.body.toString()}`);
      assert.match(String(reply.headers['www-authenticate']), /^Bearer .*error="invalid_token"$/, what);
    }
  }

  it('is accepted when it is genuine, whichever key it names', async () => {
    for (const one of [signer, second])
      for (const header of [{}, { kid: undefined }, { kid: 'a name that only the server knows' }])
        assert.equal((await listTags(url, genuine(one, payload(), header))).status, 404);
  });

  it('is refused with a wrong signature, and no URL in it is asked', async () => {
    const asked: string[] = [];
    const trap = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.end();
    }).listen(0, '127.0.0.1');
    await once(trap, 'listening');
    const { port } = trap.address() as AddressInfo;
    const tokens = wronglySigned(signer, payload(), `http://127.0.0.1:${port}/keys`);
    for (const [what, token] of Object.entries(tokens)) await assertRefused(token, what);
    assert.deepEqual(asked, []);
    trap.close();
  });

  it('is refused where it names another of the configured keys', async () => {
    await assertRefused(genuine({ ...signer, kid: second.kid }, payload()), 'the other key');
  });

  it('is refused with wrong claims', async () => {
    for (const [what, claims] of Object.entries(wrongClaims(payload())))
      await assertRefused(genuine(signer, claims), what);
  });

  it('is accepted as long as clocks may differ', async () => {
    for (const [what, claims] of Object.entries(withinLeeway(payload())))
      assert.equal((await listTags(url, genuine(signer, claims))).status, 404, what);
  });

  it('is good for nothing but what its access names', async () => {
    for (const one of otherAccess) {
      const reply = await listTags(url, genuine(signer, { ...payload(), access: [one] }));
      assert.equal(reply.status, 401, JSON.stringify(one));
      assert.equal(
        reply.headers['www-authenticate'],
        'Bearer realm="https://auth.example.com/token",service="registry.example.com",' +
          'scope="repository:team/app:pull",error="insufficient_scope"',
      );
    }
  });

  it('lets do what its actions are, and * stands for all', async () => {
    const statuses = async (actions: readonly string[]) => {
      const access = [{ type: 'repository', name: 'team/app', actions }];
      const headers = { authorization: `Bearer ${genuine(signer, { ...payload(), access })}` };
      const digest = `sha256:${'0'.repeat(64)}`;
      const requests = [
        ['GET', 'tags/list'],
        ['POST', 'blobs/uploads/'],
        ['DELETE', `manifests/${digest}`],
      ] as const;
      return await Promise.all(
        requests.map(
          async ([method, rest]) =>
            (await send(url, { method, path: `/v2/team/app/${rest}`, headers })).status,
        ),
      );
    };
    assert.deepEqual(await statuses(['pull']), [404, 401, 401]);
    assert.deepEqual(await statuses(['pull', 'push']), [404, 202, 401]);
    assert.deepEqual(await statuses(['push']), [401, 401, 401]);
    assert.deepEqual(await statuses(['delete']), [401, 401, 404]);
    assert.deepEqual(await statuses(['*']), [404, 202, 404]);
  });

  it('shows the catalog with all actions for it, and with no other', async () => {
    const status = async (actions: readonly string[]) => {
      const access = [{ type: 'registry', name: 'catalog', actions }];
      return (await listTags(url, genuine(signer, { ...payload(), access }), '/v2/_catalog')).status;
    };
    assert.deepEqual([await status(['*']), await status(['pull']), await status([])], [200, 401, 401]);
  });

  it('of 12 KB is read', async () => {
    const access = Array.from({ length: 120 }, (_, i) => ({
      type: 'repository',
      name: `team/app-${i}`,
      actions: ['pull', 'push'],
    }));
    const token = genuine(signer, { ...payload(), access: [...access, { ...access[0], name: 'team/app' }] });
    assert.ok(token.length > 10_000 && token.length < 14_000, `${token.length} bytes`);
    assert.equal((await listTags(url, token)).status, 404);
  });

  it('with a subject that is no text lets its holder in', async () => {
    for (const sub of [undefined, '', 7, { name: 'alice' }, null])
      assert.equal((await listTags(url, genuine(signer, { ...payload(), sub }))).status, 404);
  });

  it('is needed: nothing is open to others', async () => {
    for (const headers of [{}, { authorization: 'Basic YWxpY2U6cGFzc3dvcmQ=' }, { authorization: 'Bearer' }])
      for (const path of ['/v2/', '/v2/_catalog', '/v1/search?q=a', '/v2/team/app/tags/list'])
        assert.equal((await send(url, { method: 'GET', path, headers })).status, 401, path);
    assert.equal((await send(url, { method: 'GET', path: '/token' })).status, 404);
  });

  it('signed with a shared secret is accepted where the settings name its algorithm, and only there', async () => {
    const secret = Buffer.alloc(32, 'secret');
    const oct = { kty: 'oct', kid: 'shared', k: secret.toString('base64url') };
    const { keys } = JSON.parse(keySet(signer)) as { keys: object[] };
    const jwks = await registries.file(JSON.stringify({ keys: [...keys, oct] }));
    const token = jws({ alg: 'HS256', kid: 'shared' }, payload(), (input) =>
      createHmac('sha256', secret).update(input).digest(),
    );
    const named = await registries.start({ JWKS: jwks, SIGNINGALGORITHMS: 'HS256 ES256' });
    const usual = await registries.start({ JWKS: jwks });
    assert.equal((await listTags(named, token)).status, 404);
    assert.equal((await listTags(named, genuine(signer, payload()))).status, 404);
    assert.equal((await listTags(usual, token)).status, 401);
    // Where both kinds are named, a public key is still no secret.
    for (const forged of Object.values(wronglySigned(signer, payload(), 'http://127.0.0.1:9/')))
      assert.equal((await listTags(named, forged)).status, 401);
  });

  it('is refused when its algorithm is not among those that the settings name', async () => {
    const settings = { JWKS: await registries.file(keySet(signer)), SIGNINGALGORITHMS: 'ES384,ES256' };
    const both = await registries.start(settings);
    const other = await registries.start({ ...settings, SIGNINGALGORITHMS: '[ES384, ES512]' });
    assert.equal((await listTags(both, genuine(signer, payload()))).status, 404);
    assert.equal((await listTags(other, genuine(signer, payload()))).status, 401);
  });
});

describe('the challenge of REGISTRY_AUTH=token', () => {
  const registries = new ExternalRegistries();
  after(async () => {
    await registries.stop();
  });

  const challenge = async (url: string, headers: Record<string, string> = {}) =>
    (await send(url, { method: 'GET', path: '/v2/', headers })).headers['www-authenticate'];

  it('is at the host that the client uses with AUTOREDIRECT', async () => {
    const JWKS = await registries.file(keySet(newSigner('one')));
    const usual = await registries.start({ JWKS, AUTOREDIRECT: 'true' });
    const { host } = new URL(usual);
    const service = 'service="registry.example.com"';
    assert.equal(await challenge(usual), `Bearer realm="http://${host}/auth/token",${service}`);
    const proxied = { host: 'registry.example.com', 'x-forwarded-proto': 'https' };
    assert.equal(
      await challenge(usual, proxied),
      `Bearer realm="https://registry.example.com/auth/token",${service}`,
    );
    const elsewhere = await registries.start({ JWKS, AUTOREDIRECT: 'true', AUTOREDIRECTPATH: '/login' });
    assert.equal(
      await challenge(elsewhere),
      `Bearer realm="http://${new URL(elsewhere).host}/login",${service}`,
    );
  });

  it('is one challenge, whatever a client takes the host to be', async () => {
    const JWKS = await registries.file(keySet(newSigner('one')));
    const url = await registries.start({ JWKS, AUTOREDIRECT: 'true' });
    for (const host of ['a",error="x', 'a\\', 'a"b', 'a,Basic realm="x"', 'user@host', '<script>']) {
      const text = await challenge(url, { host });
      assert.match(String(text), /^Bearer realm="(?:[^"\\]|\\["\\])*\/auth\/token",service="[^"]+"$/, host);
    }
  });
});
