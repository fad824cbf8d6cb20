import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { descriptor, digestOf, imageType, manifest, send, type Ask } from '../functions/client.ts';
import { basic, bearer } from './policy-registry.ts';
import { startPolicyProcess, type PolicyProcess } from './policy-process.ts';

const policy = `
read-only: [archive/**]
rules:
  - { name: interns, who: bob, repositories: team/**, deny: [push, delete] }
  - { name: readers, who: [bob, anonymous], repositories: team/**, allow: pull }
  - { name: writers, who: alice, repositories: [team/**, archive/**], allow: [pull, push, delete] }
`;

const blob = randomBytes(50);
const digest = digestOf(blob);
const image = manifest({ config: descriptor(blob), layers: [] });
const scopes = ['team/app', 'archive/old'].map((name) => `repository:${name}:pull,push,delete`);

type Line = Readonly<Record<string, unknown>>;

describe('the audit log', () => {
  let registry: PolicyProcess;
  let users: Readonly<Record<string, Record<string, string>>>;
  let seen = 0;
  before(async () => {
    registry = await startPolicyProcess(policy, ['alice', 'bob'], { REGISTRY_LOG_LEVEL: 'error' });
    users = {
      alice: await bearer(registry.url, 'alice', ...scopes),
      bob: await bearer(registry.url, 'bob', ...scopes),
    };
  });
  after(async () => {
    await registry.stop();
  });

  const lines = (): Line[] =>
    registry
      .output()
      .split('\n')
      .filter((line) => line.includes('"audit"'))
      .map((line) => JSON.parse(line) as Line);

  /** What a request adds to it. */
  async function auditOf(request: Ask): Promise<{ status: number; id: unknown; added: Line[] }> {
    const { status, headers } = await send(registry.url, request);
    // A write that is always granted ends what this one may have added.
    const marker = `/v2/team/marker-${randomBytes(4).toString('hex')}/blobs/uploads/`;
    await send(registry.url, { method: 'POST', path: marker, headers: users['alice'] ?? {} });
    for (let tries = 0; tries < 200 && !registry.output().includes(marker); tries++) await delay(10);
    const all = lines();
    const added = all.slice(seen).filter(({ path }) => path !== marker);
    seen = all.length;
    return { status, id: headers['x-request-id'], added };
  }

  /** @param user of the request; undefined for nobody */
  const as = (user: string | undefined, request: Ask): Ask => ({
    ...request,
    headers: { ...request.headers, ...(user === undefined ? {} : users[user]) },
  });

  const upload: Ask = { method: 'POST', path: `/v2/team/app/blobs/uploads/?digest=${digest}`, body: blob };
  const put: Ask = {
    method: 'PUT',
    path: '/v2/team/app/manifests/v1?x=secret',
    headers: { 'content-type': imageType },
    body: image,
  };
  const remove: Ask = { method: 'DELETE', path: '/v2/team/app/manifests/v1' };
  const removeBlob: Ask = { method: 'DELETE', path: `/v2/team/app/blobs/${digest}` };
  const archived: Ask = { method: 'POST', path: '/v2/archive/old/blobs/uploads/' };

  const writes: readonly (readonly [
    what: string,
    user: string | undefined,
    request: Ask,
    status: number,
    expected: Line,
  ])[] = [
    ['an upload', 'alice', upload, 201, { actor: 'alice', rule: 'rule 3 (writers)', msg: 'granted' }],
    ['a manifest', 'alice', put, 201, { actor: 'alice', rule: 'rule 3 (writers)', msg: 'granted' }],
    [
      'a manifest that a rule denies',
      'bob',
      put,
      403,
      { actor: 'bob', rule: 'rule 1 (interns)', msg: 'denied' },
    ],
    [
      'a delete that a rule denies',
      'bob',
      remove,
      403,
      { actor: 'bob', rule: 'rule 1 (interns)', msg: 'denied' },
    ],
    ['a write by nobody', undefined, put, 401, { actor: 'anonymous', rule: 'no rule', msg: 'denied' }],
    [
      'a write where all is read-only',
      'alice',
      archived,
      403,
      { actor: 'alice', rule: 'read-only (archive/**)', msg: 'denied' },
    ],
    [
      'a write with a wrong token',
      undefined,
      { ...remove, headers: { authorization: 'Bearer x.y.z' } },
      401,
      { actor: 'anonymous', msg: 'denied' },
    ],
    [
      'a write with a password in the place of a token',
      undefined,
      { ...remove, headers: basic('alice') },
      401,
      { actor: 'anonymous', msg: 'denied' },
    ],
    ['a delete', 'alice', remove, 202, { actor: 'alice', rule: 'rule 3 (writers)', msg: 'granted' }],
    [
      'a granted delete of what is not there',
      'alice',
      remove,
      404,
      { actor: 'alice', rule: 'rule 3 (writers)', msg: 'granted' },
    ],
    [
      'a delete of a blob',
      'alice',
      removeBlob,
      202,
      { actor: 'alice', rule: 'rule 3 (writers)', msg: 'granted' },
    ],
    [
      'a cancelled upload that is none',
      'alice',
      { method: 'DELETE', path: '/v2/team/app/blobs/uploads/x?_state=y' },
      400,
      { actor: 'alice', rule: 'rule 3 (writers)', msg: 'granted' },
    ],
  ];
  for (const [what, user, request, status, expected] of writes)
    it(`has one line for ${what}, whatever the level of the log`, async () => {
      const audit = await auditOf(as(user, request));
      assert.equal(audit.status, status);
      assert.equal(audit.added.length, 1, JSON.stringify(audit.added));
      const { time, level, id, ...line } = audit.added[0] ?? {};
      assert.equal(id, audit.id);
      assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
      assert.equal(level, 'info');
      const path = request.path.replace(/\?.*/, '');
      const repository = /^\/v2\/(\w+\/\w+)\//.exec(path)?.[1];
      const common = { audit: true, method: request.method, path, repository, address: '127.0.0.1' };
      assert.deepEqual(line, { ...common, ...expected });
    });

  it('has none for reads and logins, granted or denied', async () => {
    for (const request of [
      { method: 'GET', path: '/v2/' },
      { method: 'GET', path: '/v2/', headers: users['alice'] ?? {} },
      { method: 'GET', path: '/v2/team/app/tags/list' },
      { method: 'GET', path: '/v2/archive/old/tags/list' },
      { method: 'HEAD', path: '/v2/team/app/manifests/v1', headers: users['bob'] ?? {} },
      { method: 'OPTIONS', path: '/v2/team/app/manifests/v1' },
      { method: 'GET', path: '/token', headers: basic('alice', 'wrong') },
      { method: 'POST', path: '/token' },
    ])
      assert.deepEqual((await auditOf(request)).added, [], `${request.method} ${request.path}`);
  });
});
