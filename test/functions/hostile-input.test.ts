/** What no client of good will sends: each request gets its status in the form of the spec, and nothing is stored. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { ObjectStore } from '../../lib/storage/store.ts';
import {
  Client,
  descriptor,
  digestOf,
  imageType,
  indexType,
  manifest,
  withDigest,
  type Ask,
  type Reply,
} from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

const name = 'team/app';
const bytes = Buffer.from('some bytes');
const digest = digestOf(bytes);

/** Statuses of which any will do, and the code that goes with each. */
type Refusal = Readonly<Record<number, string>>;

const nameInvalid: Refusal = { 400: 'NAME_INVALID' };
const tagInvalid: Refusal = { 400: 'TAG_INVALID' };
const digestInvalid: Refusal = { 400: 'DIGEST_INVALID' };
const noEndpoint: Refusal = { 404: 'UNSUPPORTED' };

/** The way from a name to a path of each kind of route that has one. */
const routes: Readonly<Record<string, (text: string) => Ask>> = {
  tags: (text) => ({ method: 'GET', path: `/v2/${text}/tags/list` }),
  manifest: (text) => ({ method: 'PUT', path: `/v2/${text}/manifests/v1`, body: bytes }),
  blob: (text) => ({ method: 'DELETE', path: `/v2/${text}/blobs/${digest}` }),
  upload: (text) => ({ method: 'POST', path: `/v2/${text}/blobs/uploads/?digest=${digest}`, body: bytes }),
};

const badNames: readonly string[] = [
  '..',
  'a/..',
  'a/../b',
  '%2e%2e',
  'a%2f%2e%2e%2fb',
  'a/.',
  'a%00b',
  'A',
  'a/B',
  'a%C3%A4',
  'a%ff',
  'a%2',
  'a%',
  'a%20b',
  'a%0d%0ab',
  'a\\b',
  '-a',
  'a-',
  'a..b',
  'a___b',
  '_a',
  'a/_layers',
  `${'a/'.repeat(127)}ab`,
  'a'.repeat(256),
  'a%2541',
  'a:b',
  'a@b',
  '*',
  '~',
];

/** Names between which nothing stands. */
const emptyNames: readonly string[] = ['a//b', '/a', 'a/', ''];

const badTags = ['.', '..', '%2e%2e', '-a', '.a', 'a%2fb', 'a%00', '%C3%A4', 'a'.repeat(129), 'a%20', 'a+b'];

const hex = digest.slice('sha256:'.length);
const badDigests = [
  'sha256:',
  `sha256:${hex.slice(1)}`,
  `sha256:${hex}0`,
  `sha256:${hex.toUpperCase()}`,
  `SHA256:${hex}`,
  `sha256:${'g'.repeat(64)}`,
  `sha256:..%2f..%2f${hex.slice(10)}`,
  `sha256:%2e%2e`,
  `sha256:${hex}%00`,
  `sha256:${hex}%0a`,
  `sha256:sha256:${hex}`,
  `md5:${'a'.repeat(32)}`,
  `sha384:${'a'.repeat(96)}`,
  `sha512:${'a'.repeat(127)}`,
  `sha512:${hex}`,
  `sha256:${'a'.repeat(3000)}`,
];

describe('hostile input', () => {
  let planes: Planes;
  let store: ObjectStore;
  const ways: [string, () => Client][] = [
    ['the streaming server', () => new Client(planes.server)],
    ['the functions', () => new Client(planes.gateway)],
  ];

  before(async () => {
    planes = await startPlanes();
    store = await planes.storage.open();
    await new Client(planes.server).pushImage(name, 'there');
  });

  after(async () => {
    await planes.stop();
  });

  /** Every object, with what tells one content from another. */
  const stored = async (): Promise<readonly string[]> => {
    const { objects, next } = await store.list({});
    assert.equal(next, undefined);
    return objects.map(({ key, etag }) => `${key} ${etag}`);
  };

  const assertRefused = async (client: Client, ask: Ask, refusal: Refusal): Promise<Reply> => {
    const before = await stored();
    const reply = await client.send(ask);
    assert.deepEqual(await stored(), before, 'something was stored, or is gone');
    const code = refusal[reply.status];
    assert.ok(
      code !== undefined,
      `${ask.method} ${ask.path.slice(0, 80)}: ${reply.status} ${reply.body.toString()}`,
    );
    if (ask.method === 'HEAD') return reply;
    assert.equal(reply.headers['content-type'], 'application/json');
    const text = reply.body.toString();
    const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] };
    assert.deepEqual([...new Set(errors.map((error) => error.code))], [code]);
    assert.ok(errors.every(({ message }) => message.length > 5));
    assert.doesNotMatch(text, /\bat .*\.ts:|node:|\/tmp\/|ENOENT|EISDIR/, 'something internal');
    assert.ok(text.length < 4000, `an answer of ${text.length} bytes`);
    return reply;
  };

  const refuses = (what: string, ask: Ask, refusal: Refusal): void => {
    for (const [way, client] of ways)
      it(`${what} through ${way}`, async () => {
        await assertRefused(client(), ask, refusal);
      });
  };

  for (const [kind, askFor] of Object.entries(routes)) {
    for (const bad of badNames)
      refuses(`refuses the name ${JSON.stringify(bad.slice(0, 30))} (${kind})`, askFor(bad), {
        ...nameInvalid,
        // What the gateway has decoded has other segments.
        ...(bad.includes('%2f') && noEndpoint),
      });
    for (const bad of emptyNames)
      refuses(`knows no endpoint at the name ${JSON.stringify(bad)} (${kind})`, askFor(bad), {
        ...nameInvalid,
        ...noEndpoint,
      });
  }

  for (const bad of badTags)
    for (const method of ['GET', 'PUT', 'DELETE'])
      refuses(
        `refuses to ${method} the tag ${JSON.stringify(bad.slice(0, 30))}`,
        { method, path: `/v2/${name}/manifests/${bad}`, ...(method === 'PUT' && { body: bytes }) },
        { ...tagInvalid, ...(bad.includes('%2f') && noEndpoint) },
      );

  for (const bad of badDigests) {
    const short = JSON.stringify(bad.slice(0, 30));
    const path = `/v2/${name}/blobs`;
    const orNoEndpoint = { ...digestInvalid, ...(bad.includes('%2f') && noEndpoint) };
    refuses(`refuses to GET the blob ${short}`, { method: 'GET', path: `${path}/${bad}` }, orNoEndpoint);
    refuses(
      `refuses to DELETE the blob ${short}`,
      { method: 'DELETE', path: `${path}/${bad}` },
      orNoEndpoint,
    );
    refuses(
      `refuses to GET the manifest ${short}`,
      { method: 'GET', path: `/v2/${name}/manifests/${bad}` },
      orNoEndpoint,
    );
    refuses(
      `refuses to take ${short} in one request`,
      { method: 'POST', path: `${path}/uploads/?digest=${bad}`, body: bytes },
      digestInvalid,
    );
  }

  for (const [way, client] of ways)
    it(`starts an upload where what is to be mounted is no digest, through ${way}`, async () => {
      const path = `/v2/${name}/blobs/uploads/`;
      for (const bad of badDigests)
        for (const query of [`mount=${bad}&from=${name}`, `mount=${digest}&from=${bad}`])
          await client().must(202, { method: 'POST', path: `${path}?${query}` });
    });

  const other = digestOf(Buffer.from('other'));
  for (const [query, refusal] of [
    [`digest=${digest}&digest=${other}`, digestInvalid],
    [`digest=${other}`, digestInvalid],
    ['digest=', digestInvalid],
  ] as [string, Refusal][])
    refuses(
      `refuses an upload with ?${query.replaceAll(hex, '…').slice(0, 60)}`,
      { method: 'POST', path: `/v2/${name}/blobs/uploads/?${query}`, body: bytes },
      refusal,
    );

  for (const list of ['/v2/_catalog', `/v2/${name}/tags/list`]) {
    for (const n of ['-1', 'abc', '', '1e9', '1.5', '0x10', '%00', '1&n=2', '9'.repeat(30), '%F0%9F%92%A3'])
      refuses(
        `refuses n=${n.slice(0, 12)} at ${list}`,
        { method: 'GET', path: `${list}?n=${n}` },
        {
          400: 'PAGINATION_NUMBER_INVALID',
        },
      );
    refuses(
      `refuses two beginnings at ${list}`,
      { method: 'GET', path: `${list}?last=a&last=b` },
      {
        400: 'UNSUPPORTED',
      },
    );
    for (const last of ['..', '%2e%2e%2f', '%00', '%C3%84', '%ff', 'a'.repeat(5000), '-'])
      refuses(
        `refuses to go on after ${last.slice(0, 12)} at ${list}`,
        { method: 'GET', path: `${list}?last=${last}` },
        list === '/v2/_catalog' ? nameInvalid : tagInvalid,
      );
  }

  for (const path of [
    '/',
    '/v1/',
    '/v2/_catalog/',
    '/v2/team',
    '/v2/team/app/blobs',
    '/v2/team/app/tags',
    '/v2/../etc/passwd',
    '/v2/%2e%2e/%2e%2e/etc/passwd',
    '/%76%32/../x',
  ])
    refuses(`knows nothing at ${path}`, { method: 'GET', path }, noEndpoint);

  const image = (more: object = {}) => ({ config: descriptor(bytes), layers: [], ...more });
  const layers = (count: number) =>
    Array.from({ length: count }, (_, i) => descriptor(Buffer.from(String(i))));
  const depth = 50_000;
  for (const [what, body, type] of [
    ['no JSON', Buffer.from('FROM scratch'), imageType],
    ['nothing', Buffer.alloc(0), imageType],
    ['a list', Buffer.from('[]'), imageType],
    ['null', Buffer.from('null'), imageType],
    ['NULs', Buffer.alloc(1000), imageType],
    [`${depth} brackets`, Buffer.from('['.repeat(depth) + ']'.repeat(depth)), imageType],
    [`${depth} objects`, Buffer.from('{"a":'.repeat(depth) + '1' + '}'.repeat(depth)), imageType],
    ['10,000 layers', manifest(image({ layers: layers(10_000) })), imageType],
    ['an image and an index', manifest(image({ manifests: [] })), imageType],
    ['an index and an image', manifest({ manifests: [], layers: [] }, indexType), indexType],
    ['an image sent as an index', manifest(image()), indexType],
    ['a type that is none', manifest(image()), '../../etc'],
    ['plain text', manifest(image()), 'text/plain'],
    ['a type in two headers', manifest(image()), `${imageType}, ${indexType}`],
    [
      'layers twice',
      Buffer.from(manifest(image()).toString().replace('"layers"', '"layers": [], "layers"')),
      imageType,
    ],
    ['layers in capitals as well', manifest(image({ LAYERS: [] })), imageType],
    [
      'a digest out of its folder',
      manifest(image({ layers: [{ ...descriptor(bytes), digest: 'sha256:../../x' }] })),
      imageType,
    ],
    [
      'a layer of less than nothing',
      manifest(image({ layers: [{ ...descriptor(bytes), size: -1 }] })),
      imageType,
    ],
    [
      'a layer of 1e400 bytes',
      Buffer.from(
        manifest(image())
          .toString()
          .replace(/"size": \d+/, '"size": 1e400'),
      ),
      imageType,
    ],
  ] as [string, Buffer, string][])
    refuses(
      `refuses a manifest of ${what}`,
      { method: 'PUT', path: `/v2/${name}/manifests/bad`, headers: { 'content-type': type }, body },
      { 400: 'MANIFEST_INVALID' },
    );

  /** Ways to spell a path that a proxy which compares paths as they are sent would take for others. */
  const spellings: readonly ((path: string) => string)[] = [
    (path) => path.replace(name, name.replace('/', '%2F')),
    (path) => path.replace(name, name.replace('/', '%2f')),
    (path) => path.replace(name, name.replace('/', '%252F')),
    (path) => path.replace(name, name.replace('/', '%5C')),
    (path) => path.replace(name, name.replace('/', '%c0%af')),
    (path) => path.replace(name, name.replace('/', '//')),
    (path) => path.replace(name, name.replace('/', '/./')),
    (path) => path.replace(name, `other/../${name}`),
    (path) => path.replace(name, `other/..;/${name}`),
    (path) => path.replace(name, `other/%2e%2e/${name}`),
    (path) => path.replace(name, '%74eam/app'),
    (path) => path.replace(name, 'team/%61pp'),
    (path) => path.replace('/v2/', '/%76%32/'),
    (path) => path.replace('/v2/', '/v%32/'),
    (path) => path.replace('/v2/', '/./v2/'),
    (path) => path.replace('/v2/', '/v2%2F'),
    (path) => path.replace('/v2/', '/V2/'),
    (path) => path.replace('/blobs/', '/bl%6Fbs/'),
    (path) => path.replace('/manifests/', '/manifests%2F'),
    (path) => path.replace('/there', '/th%65re'),
    (path) => path.replace('/list', '/lis%74'),
    (path) => path.replace('sha256:', 'sha256%253A'),
    (path) => path.replace(hex, `%${Buffer.from(hex.slice(0, 1)).toString('hex')}${hex.slice(1)}`),
  ];
  const assertUnknown = ({ status, body, url }: Reply) => {
    assert.ok(status === 400 || status === 404, `${url}: ${status}`);
    assert.match(body.toString(), /^\{"errors":\[\{"code":"(?:UNSUPPORTED|(?:NAME|TAG|DIGEST)_INVALID)",/);
  };
  const respelled = (path: string) =>
    [...new Set(spellings.map((spell) => spell(path)))].filter((spelling) => spelling !== path);
  for (const path of [`/v2/${name}/manifests/there`, `/v2/${name}/tags/list`, `/v2/${name}/blobs/${digest}`])
    for (const other of respelled(path))
      it(`knows one spelling of each path, and not ${other.replace(hex.slice(1), '…')}`, async () => {
        assertUnknown(await new Client(planes.server).send({ method: 'GET', path: other }));
      });

  it('knows one spelling of a signed URL of the data plane, but for the colon', async () => {
    const bytes = randomBytes(10);
    const blob = await new Client(planes.server).pushBlob(name, bytes);
    const found = await new Client(planes.gateway).must(307, {
      method: 'GET',
      path: `/v2/${name}/blobs/${blob}`,
    });
    const { pathname, search } = new URL(found.headers.location ?? '');
    const dataPlane = new Client(planes.dataPlane);
    for (const path of [pathname, pathname.replace(':', '%3A')])
      assert.ok((await dataPlane.must(200, { method: 'GET', path: path + search })).body.equals(bytes));
    for (const other of respelled(pathname))
      assertUnknown(await dataPlane.send({ method: 'GET', path: other + search }));
  });

  refuses(
    'refuses a manifest of more than 4 MiB',
    {
      method: 'PUT',
      path: `/v2/${name}/manifests/bad`,
      headers: { 'content-type': imageType },
      body: Buffer.alloc(4 * 1024 ** 2 + 1, ' '),
    },
    { 413: 'SIZE_INVALID' },
  );

  refuses(
    'names what a manifest lacks, and takes none of it',
    {
      method: 'PUT',
      path: `/v2/${name}/manifests/bad`,
      headers: { 'content-type': imageType },
      body: manifest({ config: descriptor(randomBytes(3)), layers: [] }),
    },
    { 404: 'MANIFEST_BLOB_UNKNOWN' },
  );

  it('refuses twenty manifests of a million values at once, none of them for being late', async () => {
    const body = Buffer.from(`{"schemaVersion":2,"manifests":[],"x":[${'{},'.repeat(1_390_000)}{}]}`);
    const path = `/v2/${name}/manifests/million`;
    const ask = { method: 'PUT', path, body, headers: { 'content-type': indexType } };
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        await assertRefused(new Client(planes.server), ask, { 400: 'MANIFEST_INVALID' });
      }),
    );
    // They took a minute and a half before values were counted.
    assert.ok(performance.now() - began < 30_000);
  });

  for (const [way, client] of ways) {
    it(`reads a manifest in spite of an Accept of 8 KB, through ${way}`, async () => {
      const accept = Array.from(
        { length: 200 },
        (_, i) => `application/vnd.example.type${i}+json;q=0.5`,
      ).join(', ');
      assert.ok(accept.length > 8000);
      const headers = { accept };
      const path = `/v2/${name}/manifests/there`;
      await client().must(200, { method: 'GET', path, headers });
    });

    it(`refuses each state of an upload that was altered or is another's, through ${way}`, async () => {
      const [own, others, elsewhere] = [
        await client().startUpload(name),
        await client().startUpload(name),
        await client().startUpload('team/other'),
      ];
      const state = new URL(own).searchParams.get('_state') ?? '';
      const fields = state.split('.');
      assert.equal(fields.length, 4);
      const with1 = (index: number, text: string) => fields.with(index, text).join('.');
      const altered = [
        with1(0, '2'),
        with1(0, ''),
        with1(1, '1'),
        with1(1, '-0'),
        with1(1, '1e3'),
        with1(2, '99999999999'),
        with1(2, ''),
        with1(3, 'A'.repeat(43)),
        with1(3, ''),
        with1(3, `${fields[3] ?? ''}A`),
        `${state}.0`,
        ` ${state}`,
        `${state}%00`,
        fields.slice(1).join('.'),
        'a'.repeat(5000),
        new URL(others).searchParams.get('_state') ?? '',
        new URL(elsewhere).searchParams.get('_state') ?? '',
      ];
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE'])
        for (const wrong of altered) {
          const path = withDigest(own.replace(state, wrong), digest);
          const body = method === 'GET' ? {} : { body: bytes };
          await assertRefused(client(), { method, path, ...body }, { 400: 'BLOB_UPLOAD_INVALID' });
        }
      await assertRefused(
        client(),
        { method: 'GET', path: `${own}&_state=1` },
        { 400: 'BLOB_UPLOAD_INVALID' },
      );
      const moved = own.replace(`/${name}/`, '/team/other/');
      await assertRefused(
        client(),
        { method: 'PUT', path: withDigest(moved, digest), body: bytes },
        { 400: 'BLOB_UPLOAD_INVALID' },
      );
      // None of this has touched it.
      await client().must(201, { method: 'PUT', path: withDigest(own, digest), body: bytes });
    });

    it(`refuses chunks that lie, overlap or leave a gap, and goes on, through ${way}`, async () => {
      const whole = randomBytes(30);
      const start = await client().startUpload(name);
      const location = await client().sendChunk(start, 0, whole.subarray(0, 10));
      const patch = (range: string, body: Buffer): Ask => ({
        method: 'PATCH',
        path: location,
        headers: { 'content-range': range },
        body,
      });
      for (const range of ['11-20', '0-9', '9-18', '5-14', '1000000000000-1000000000009']) {
        const ask = patch(range, whole.subarray(10, 20));
        const reply = await assertRefused(client(), ask, { 416: 'RANGE_INVALID' });
        assert.equal(reply.headers.range, '0-9');
        assert.match(reply.headers.location ?? '', /_state=1\.10\./);
      }
      for (const range of ['10-18', '10-20', '10-10']) {
        const ask = patch(range, whole.subarray(10, 20));
        await assertRefused(client(), ask, { 400: 'SIZE_INVALID' });
      }
      for (const range of [
        '19-10',
        '-1-8',
        'a-b',
        '10-',
        '-',
        '10-19,20-29',
        '1e1-19',
        '10-19999999999999999999',
      ]) {
        const ask = patch(range, whole.subarray(10, 20));
        await assertRefused(client(), ask, { 400: 'BLOB_UPLOAD_INVALID' });
      }
      const next = await client().sendChunk(location, 10, whole.subarray(10));
      await assertRefused(
        client(),
        { method: 'PUT', path: withDigest(next, digest) },
        { 400: 'DIGEST_INVALID' },
      );
      await client().must(201, { method: 'PUT', path: withDigest(next, digestOf(whole)) });
    });

    it(`answers ranges that no blob has with 416, or the whole blob, through ${way}`, async () => {
      const text = Buffer.from('0123456789');
      const blob = await client().pushBlob(name, text);
      const get = async (range: string): Promise<Reply> => {
        const headers = { range };
        const reply = await client().send({ method: 'GET', path: `/v2/${name}/blobs/${blob}`, headers });
        return reply.status === 307
          ? await client().send({ method: 'GET', path: reply.headers.location ?? '', headers })
          : reply;
      };
      for (const range of ['bytes=10-', 'bytes=99999999999999999999-', 'bytes=-0', 'bytes=5-1'])
        assert.equal((await get(range)).status, 416, range);
      for (const range of ['bytes=', 'bytes=a-b', 'lines=1-2', `bytes=${'0-1,'.repeat(500)}0-1`]) {
        const reply = await get(range);
        assert.equal(reply.status, 200, range);
        assert.ok(reply.body.equals(text));
      }
    });
  }
});
