import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Identity } from '../../lib/access/access.ts';
import { signAccessToken } from '../../lib/access/tokens/access-tokens.ts';
import { accessTokenKey } from '../../lib/access/tokens/keys.ts';
import { all } from '../../lib/http/all.ts';
import type { Group } from '../../lib/protocol/routes.ts';
import { send, type Ask } from '../functions/client.ts';
import { startPlanes, type Planes } from '../functions/planes.ts';
import { endpoints, requests, type Need } from './endpoints.ts';
import { basic, bearer, policySettings, type PolicySettings } from './policy-registry.ts';

const policy = `
rules:
  - { who: [reader, pusher, deleter, admin], repositories: team/app, allow: pull }
  - { who: [pusher, admin], repositories: team/app, allow: push }
  - { who: [deleter, admin], repositories: team/app, allow: delete }
  - { who: [reader, admin], repositories: team/app, allow: list }
  - { who: blind, repositories: team/app, allow: push }
  - { who: ['robot:reader', 'ci:release'], repositories: team/app, allow: pull }
  - { who: 'ci:release', repositories: team/app, allow: push }
ci:
  release:
    issuer: https://issuer.example.com
    audience: stowage
    claims: { project: '1' }
`;

const users = ['reader', 'pusher', 'deleter', 'admin', 'blind', 'outsider'] as const;
type User = (typeof users)[number];

/** Who may do what, by the policy above. A push needs pull as well. */
const allowed: Readonly<Record<Need, readonly User[]>> = {
  nothing: users,
  login: users,
  catalog: users,
  pull: ['reader', 'pusher', 'deleter', 'admin'],
  push: ['pusher', 'admin'],
  delete: ['deleter', 'admin'],
};

/** Callers that are no users, and what they may do. */
const callers: readonly (readonly [string, Identity, readonly Need[]])[] = [
  ['a robot without grants', { kind: 'robot', name: 'reader', issuedAt: 1 }, ['login', 'catalog', 'pull']],
  [
    'a robot with grants',
    {
      kind: 'robot',
      name: 'granted',
      issuedAt: 1,
      grants: [{ actions: ['pull', 'push'], repositories: ['team/*'] }],
    },
    ['login', 'catalog', 'pull', 'push'],
  ],
  [
    'a robot with grants elsewhere',
    {
      kind: 'robot',
      name: 'reader',
      issuedAt: 1,
      grants: [{ actions: ['pull'], repositories: ['other/*'] }],
    },
    ['login', 'catalog'],
  ],
  ['a CI job', { kind: 'ci', name: 'release' }, ['login', 'catalog', 'pull', 'push']],
  ['a CI job that the policy does not name', { kind: 'ci', name: 'gone' }, ['login', 'catalog']],
  ['an anonymous caller with a token', { kind: 'anonymous' }, ['login']],
];

/** As the token service signs it, with each scope. */
async function tokenOf(identity: Identity): Promise<Record<string, string>> {
  const key = accessTokenKey('a secret of a test that is long enough');
  const access = [{ type: 'repository', name: 'team/app', actions: ['pull', 'push', 'delete'] }];
  return { authorization: `Bearer ${await signAccessToken(key, 'stowage', { identity, access }, 60)}` };
}

const everyScope = ['repository:team/app:pull,push,delete', 'registry:catalog:*'];

describe('access to each route', () => {
  let access: PolicySettings;
  let planes: Planes;

  before(async () => {
    access = await policySettings(policy, users);
    planes = await startPlanes(access.settings);
  });

  after(async () => {
    await planes.stop();
    access.remove();
  });

  const statusOf = async (
    base: string,
    { method, path }: (typeof requests)[number],
    headers: Ask['headers'],
  ) => (await send(base, { method, path, ...(headers && { headers }) })).status;

  const isRefusal = (status: number) => status === 401 || status === 403;

  /** Probes, and the token service, which looks at credentials itself. */
  const isForAll = ({ group }: (typeof requests)[number]) => group === 'health' || group === 'token';

  it('has a rule for each method that an endpoint has', () => {
    for (const [group, operations] of Object.entries(all)) {
      const methods = Object.keys(operations);
      if (methods.includes('GET')) methods.push('HEAD');
      assert.deepEqual(
        Object.keys(endpoints[group as Group].needs).sort(),
        [...new Set(methods)].sort(),
        `the methods of ${group}`,
      );
    }
  });

  for (const way of ['gateway', 'server'] as const) {
    for (const user of users)
      it(`lets ${user} do what the policy allows and nothing else, through the ${way}`, async () => {
        const headers = await bearer(planes[way], user, ...everyScope);
        for (const request of requests) {
          const status = await statusOf(planes[way], request, headers);
          const isAllowed = allowed[request.need].includes(user);
          const what = `${request.method} ${request.path} by ${user}: ${status}`;
          if (isForAll(request)) assert.ok(status !== 403, what);
          else if (isAllowed) assert.ok(!isRefusal(status), what);
          else assert.equal(status, 403, what);
        }
      });

    for (const [who, identity, mayDo] of callers)
      it(`lets ${who} do what policy and grants allow and nothing else, through the ${way}`, async () => {
        const headers = await tokenOf(identity);
        for (const request of requests) {
          if (isForAll(request)) continue;
          const status = await statusOf(planes[way], request, headers);
          const what = `${request.method} ${request.path} by ${who}: ${status}`;
          if (mayDo.includes(request.need)) assert.ok(!isRefusal(status), what);
          else assert.equal(status, identity.kind === 'anonymous' ? 401 : 403, what);
        }
      });

    for (const [who, headers] of [
      ['nobody', {}],
      ['a wrong token', { authorization: 'Bearer x.y.z' }],
      ['a password in the place of a token', basic('admin')],
      ['another scheme', { authorization: 'Negotiate abc' }],
    ] as const)
      it(`challenges ${who} everywhere but at probes and the token service, through the ${way}`, async () => {
        for (const request of requests) {
          if (isForAll(request)) continue;
          const { method, path } = request;
          const reply = await send(planes[way], { method, path, headers });
          assert.equal(reply.status, 401, `${method} ${path}`);
          assert.match(
            String(reply.headers['www-authenticate']),
            /^Bearer realm="https?:\/\/[^"]+\/token",service="stowage"/,
          );
        }
      });

    it(`asks for another token where the one sent lacks the scope, through the ${way}`, async () => {
      const headers = await bearer(planes[way], 'admin');
      for (const request of requests) {
        if (isForAll(request)) continue;
        const { need, method, path } = request;
        const reply = await send(planes[way], { method, path, headers });
        const challenge = String(reply.headers['www-authenticate']);
        if (need === 'login' || need === 'catalog') assert.equal(reply.status, 200, path);
        else assert.match(challenge, /scope="repository:team\/app:[a-z,]+",error="insufficient_scope"/, path);
      }
    });
  }

  it('lets the data plane look at no credentials, whose URLs are signed', async () => {
    for (const headers of [{}, { authorization: 'Bearer x' }, basic('admin')])
      for (const request of requests) {
        const status = await statusOf(planes.dataPlane, request, headers);
        assert.ok(!isRefusal(status), `${request.method} ${request.path}: ${status}`);
        if (request.group === 'health') assert.equal(status, 200);
        else assert.ok(status >= 400, `${request.method} ${request.path}: ${status}`);
      }
  });

  it('answers OPTIONS without credentials', async () => {
    for (const { path } of Object.values(endpoints)) {
      const reply = await send(planes.server, { method: 'OPTIONS', path });
      assert.equal(reply.status, 204, path);
      assert.match(String(reply.headers.allow), /OPTIONS/);
      assert.equal(reply.headers['access-control-allow-origin'], undefined);
    }
  });

  it('names the rule to a caller who may pull, and to no other', async () => {
    const put = async (user: User) =>
      await send(planes.server, {
        method: 'PUT',
        path: '/v2/team/app/manifests/v1',
        headers: await bearer(planes.server, user, ...everyScope),
      });
    assert.match((await put('reader')).body.toString(), /reader may not push in team\/app: no rule/);
    assert.ok(!(await put('outsider')).body.toString().includes('team/app'));
  });
});
