import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { accessTokenKey } from '../../../lib/access/tokens/keys.ts';
import { send, type Reply } from '../../functions/client.ts';
import { startPolicyRegistry, type PolicyRegistry } from '../policy-server.ts';
import {
  genuine,
  now,
  otherAccess,
  withinLeeway,
  wrongClaims,
  wronglySigned,
  type Json,
  type Signer,
} from './forgeries.ts';

const policy = `
rules:
  - { who: alice, repositories: '**', allow: '*' }
`;

const access = [{ type: 'repository', name: 'team/app', actions: ['pull'] }];

/** What a forger has to leave alone. */
const payload = (): Json => ({
  iss: 'stowage',
  aud: 'stowage',
  iat: now(),
  nbf: now(),
  exp: now() + 300,
  identity: { kind: 'user', name: 'alice' },
  access,
});

const secret = 'a secret of a test that is long enough';

function signerOf(text: string): Signer {
  const { id, privateKey } = accessTokenKey(text);
  return { alg: 'EdDSA', kid: id, privateKey, publicKey: createPublicKey(privateKey) };
}

describe('an access token of REGISTRY_AUTH=policy', () => {
  const signer = signerOf(secret);
  let registry: PolicyRegistry;
  let trap: Server;
  const asked: string[] = [];
  before(async () => {
    registry = await startPolicyRegistry(policy, ['alice']);
    trap = createServer(({ url = '' }, response) => {
      asked.push(url);
      response.end();
    }).listen(0, '127.0.0.1');
    await once(trap, 'listening');
  });
  after(async () => {
    trap.close();
    await registry.stop();
  });

  const list = async (token: string, path = '/v2/team/app/tags/list'): Promise<Reply> =>
    await send(registry.url, { method: 'GET', path, headers: { authorization: `Bearer ${token}` } });

  async function assertRefused(token: string, what: string): Promise<void> {
    for (const path of ['/v2/', '/v2/team/app/tags/list']) {
      const reply = await list(token, path);
      assert.equal(reply.status, 401, `${what}: ${reply.body.toString()}`);
      assert.match(String(reply.headers['www-authenticate']), /^Bearer .*error="invalid_token"$/, what);
    }
  }

  it('is accepted when it is genuine', async () => {
    assert.equal((await list(genuine(signer, payload()))).status, 404);
  });

  it('is refused with a wrong signature, and no URL in it is asked', async () => {
    const { port } = trap.address() as AddressInfo;
    const tokens = wronglySigned(signer, payload(), `http://127.0.0.1:${port}/keys`);
    for (const [what, token] of Object.entries(tokens)) await assertRefused(token, what);
    assert.deepEqual(asked, []);
  });

  it('is refused with wrong claims', async () => {
    for (const [what, claims] of Object.entries(wrongClaims(payload())))
      await assertRefused(genuine(signer, claims), what);
  });

  it('is accepted as long as clocks may differ', async () => {
    for (const [what, claims] of Object.entries(withinLeeway(payload())))
      assert.equal((await list(genuine(signer, claims))).status, 404, what);
  });

  it('is refused when it was signed with another secret, under any name', async () => {
    const other = signerOf('another secret, which is long enough');
    await assertRefused(genuine(other, payload()), 'its own name');
    await assertRefused(genuine({ ...other, kid: signer.kid }, payload()), 'the name of the real one');
  });

  it('is refused with an identity that none is', async () => {
    for (const identity of [
      undefined,
      null,
      'alice',
      [],
      {},
      { kind: 'user' },
      { kind: 'user', name: 1 },
      { kind: 'admin', name: 'alice' },
      { kind: 'robot', name: 'alice' },
      { kind: 'robot', name: 'alice', issuedAt: '0' },
      { kind: 'robot', name: 'alice', issuedAt: 0, grants: '*' },
      { kind: 'robot', name: 'alice', issuedAt: 0, grants: [{ actions: ['*'], repositories: ['**'] }] },
      { kind: 'robot', name: 'alice', issuedAt: 0, grants: [{ actions: ['pull'], repositories: '**' }] },
      { kind: 'robot', name: 'alice', issuedAt: 0, grants: [null] },
    ])
      await assertRefused(genuine(signer, { ...payload(), identity }), JSON.stringify(identity));
  });

  it('is good for nothing but what its access names, whatever the policy allows', async () => {
    for (const one of otherAccess) {
      const reply = await list(genuine(signer, { ...payload(), access: [one] }));
      assert.equal(reply.status, 401, JSON.stringify(one));
      assert.match(
        String(reply.headers['www-authenticate']),
        /scope="repository:team\/app:pull",error="insufficient_scope"$/,
      );
    }
  });

  it('is good for nothing that the policy does not allow, whatever its access names', async () => {
    const identity = { kind: 'user', name: 'mallory' };
    const all = [{ type: 'repository', name: 'team/app', actions: ['*'] }];
    assert.equal((await list(genuine(signer, { ...payload(), identity, access: all }))).status, 403);
  });

  it('is taken from the Authorization header alone', async () => {
    const token = genuine(signer, payload());
    for (const [path, headers] of [
      [`/v2/team/app/tags/list?access_token=${token}&token=${token}`, {}],
      ['/v2/team/app/tags/list', { cookie: `token=${token}`, 'x-authorization': `Bearer ${token}` }],
      ['/v2/team/app/tags/list', { authorization: token }],
      ['/v2/team/app/tags/list', { authorization: `Bearer ${token} x` }],
      ['/v2/team/app/tags/list', { authorization: `Bearer ${token},Bearer ${token}` }],
      [
        '/v2/team/app/tags/list',
        { authorization: `Basic ${Buffer.from(`alice:${token}`).toString('base64')}` },
      ],
    ] as const)
      assert.equal((await send(registry.url, { method: 'GET', path, headers })).status, 401, path);
  });
});
