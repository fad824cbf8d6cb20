import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  descriptor,
  digestOf,
  imageType,
  manifest,
  send,
  type Ask,
  type Reply,
} from '../functions/client.ts';
import { startPlanes, type Planes } from '../functions/planes.ts';
import { bearer, policySettings, type PolicySettings } from './policy-registry.ts';

const policy = `
rules:
  - { who: owner, repositories: '**', allow: '*' }
  - { who: guest, repositories: mine/**, allow: [pull, push] }
  - { who: guest, repositories: public/**, allow: pull }
  - { who: guest, repositories: drop/**, allow: push }
`;

const scopes = ['private/app', 'public/base', 'mine/app', 'none/app'].map(
  (name) => `repository:${name}:pull,push,delete`,
);

const [secret, common, config] = [randomBytes(60), randomBytes(61), randomBytes(62)];
const unknown = digestOf(randomBytes(63));
const image = manifest({ config: descriptor(config), layers: [descriptor(secret)] });
const signatureOf = manifest({
  config: descriptor(config),
  layers: [descriptor(secret)],
  subject: { mediaType: imageType, digest: digestOf(image), size: image.byteLength },
});

describe('a private repository', () => {
  let access: PolicySettings;
  let planes: Planes;
  let [owner, guest]: Record<string, string>[] = [];

  const ask = async (way: 'server' | 'gateway', request: Ask, headers = guest): Promise<Reply> =>
    await send(planes[way], { ...request, headers: { ...request.headers, ...headers } });

  async function push(name: string, blob: Buffer): Promise<void> {
    const path = `/v2/${name}/blobs/uploads/?digest=${digestOf(blob)}`;
    const headers = { 'content-type': 'application/octet-stream' };
    assert.equal((await ask('server', { method: 'POST', path, headers, body: blob }, owner)).status, 201);
  }

  async function put(name: string, reference: string, body: Buffer, headers = owner): Promise<Reply> {
    const path = `/v2/${name}/manifests/${reference}`;
    return await ask(
      'server',
      { method: 'PUT', path, headers: { 'content-type': imageType }, body },
      headers,
    );
  }

  before(async () => {
    access = await policySettings(policy, ['owner', 'guest']);
    planes = await startPlanes(access.settings);
    [owner, guest] = await Promise.all(
      ['owner', 'guest'].map(async (user) => await bearer(planes.server, user, ...scopes)),
    );
    // A mount without a source is tried from where a blob was pushed last.
    for (const name of ['public/base', 'private/app']) await push(name, common);
    for (const blob of [secret, config]) await push('private/app', blob);
    for (const [reference, bytes] of [
      ['v1', image],
      [digestOf(signatureOf), signatureOf],
    ] as const)
      assert.equal((await put('private/app', reference, bytes)).status, 201);
  });
  after(async () => {
    await planes.stop();
    access.remove();
  });

  it('is there for its owner', async () => {
    const tags = await ask('server', { method: 'GET', path: '/v2/private/app/tags/list' }, owner);
    assert.deepEqual(JSON.parse(tags.body.toString()), { name: 'private/app', tags: ['v1'] });
    const path = `/v2/private/app/referrers/${digestOf(image)}`;
    assert.match((await ask('server', { method: 'GET', path }, owner)).body.toString(), /"digest"/);
  });

  const requests: readonly Ask[] = [
    { method: 'GET', path: 'tags/list' },
    { method: 'GET', path: 'tags/list?n=1&last=a' },
    ...['v1', 'v2', digestOf(image), unknown].flatMap((reference) =>
      ['GET', 'HEAD', 'PUT', 'DELETE'].map((method) => ({ method, path: `manifests/${reference}` })),
    ),
    ...[digestOf(secret), unknown].flatMap((digest) =>
      ['GET', 'HEAD', 'DELETE'].map((method) => ({ method, path: `blobs/${digest}` })),
    ),
    { method: 'GET', path: `referrers/${digestOf(image)}` },
    { method: 'POST', path: 'blobs/uploads/' },
    { method: 'POST', path: `blobs/uploads/?digest=${digestOf(secret)}` },
    { method: 'POST', path: `blobs/uploads/?mount=${digestOf(common)}&from=public/base` },
    { method: 'GET', path: 'blobs/uploads/x?_state=y' },
  ];

  for (const way of ['server', 'gateway'] as const)
    it(`answers as one that does not exist, whatever it is asked, through the ${way}`, async () => {
      const compared = [
        'status',
        'body',
        'www-authenticate',
        'content-length',
        'allow',
        'docker-content-digest',
      ];
      for (const headers of [{}, guest, { authorization: 'Bearer x' }])
        for (const { method, path } of requests) {
          const [known, none] = await Promise.all(
            ['private/app', 'none/app'].map(async (name) => {
              const reply = await ask(way, { method, path: `/v2/${name}/${path}` }, headers);
              const seen = { status: reply.status, body: reply.body.toString(), ...reply.headers };
              return Object.fromEntries(
                Object.entries(seen)
                  .filter(([header]) => compared.includes(header))
                  .map(([header, value]) => [header, String(value).replaceAll('private/app', 'none/app')]),
              );
            }),
          );
          assert.deepEqual(known, none, `${method} ${path}`);
          assert.equal(known?.['status'], headers === guest ? '403' : '401', `${method} ${path}`);
        }
    });

  for (const way of ['server', 'gateway'] as const) {
    const mount = async (query: Record<string, string>, headers = guest) => {
      const path = `/v2/mine/app/blobs/uploads/?${new URLSearchParams(query).toString()}`;
      const reply = await ask(way, { method: 'POST', path }, headers);
      return reply.status;
    };
    const has = async (blob: Buffer) => {
      const path = `/v2/mine/app/blobs/${digestOf(blob)}`;
      return (await ask(way, { method: 'HEAD', path })).status;
    };

    it(`gives no blob to a mount by one who may not pull it, which becomes an upload, through the ${way}`, async () => {
      for (const blob of [secret, config, common])
        for (const from of [{}, { from: 'private/app' }, { from: 'none/app' }, { from: 'drop/app' }]) {
          assert.equal(await mount({ mount: digestOf(blob), ...from }), 202, JSON.stringify(from));
          assert.equal(await has(blob), 404);
        }
      assert.equal(await mount({ mount: unknown, from: 'private/app' }), 202);
    });

    it(`gives no blob to a mount with a token that does not name it, through the ${way}`, async () => {
      const headers = await bearer(planes.server, 'guest', 'repository:mine/app:pull,push');
      assert.equal(await mount({ mount: digestOf(common), from: 'public/base' }, headers), 202);
      assert.equal(await has(common), 404);
    });
  }

  it('keeps its blobs out of manifests elsewhere', async () => {
    const reply = await put('mine/app', 'v1', image, guest);
    assert.equal(reply.status, 404);
    assert.match(reply.body.toString(), /MANIFEST_BLOB_UNKNOWN/);
    assert.ok(!reply.body.toString().includes('private'));
  });

  it('gives nothing to those who may push to it and not pull from it', async () => {
    const headers = await bearer(planes.server, 'guest', 'repository:drop/app:pull,push');
    const start = {
      method: 'POST',
      path: `/v2/drop/app/blobs/uploads/?mount=${digestOf(secret)}&from=private/app`,
    };
    assert.equal((await ask('server', start, headers)).status, 403);
  });

  it('is no obstacle to a mount from where the caller may pull', async () => {
    const path = `/v2/mine/app/blobs/uploads/?mount=${digestOf(common)}&from=public/base`;
    assert.equal((await ask('server', { method: 'POST', path })).status, 201);
    // Now the caller has it, and may mount it from anywhere.
    const again = `/v2/mine/app/blobs/uploads/?mount=${digestOf(common)}`;
    assert.equal((await ask('gateway', { method: 'POST', path: again })).status, 201);
  });

  it('is mounted from without naming it by its owner alone', async () => {
    const path = `/v2/owned/app/blobs/uploads/?mount=${digestOf(secret)}`;
    const names = ['owned/app', 'private/app'].map((name) => `repository:${name}:pull,push`);
    const headers = await bearer(planes.server, 'owner', ...names);
    assert.equal((await ask('server', { method: 'POST', path }, headers)).status, 201);
  });
});
