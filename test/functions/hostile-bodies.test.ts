import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
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
import { bytes, digest, hostileInput, name } from './hostile-input.ts';

describe('hostile input', () => {
  const { ways, refuses, assertRefused, planes } = hostileInput();

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
    'lists the missing blobs of a manifest and stores nothing',
    {
      method: 'PUT',
      path: `/v2/${name}/manifests/bad`,
      headers: { 'content-type': imageType },
      body: manifest({ config: descriptor(randomBytes(3)), layers: [] }),
    },
    { 404: 'MANIFEST_BLOB_UNKNOWN' },
  );

  it('refuses twenty concurrent manifests of a million values in time', async () => {
    const body = Buffer.from(`{"schemaVersion":2,"manifests":[],"x":[${'{},'.repeat(1_390_000)}{}]}`);
    const path = `/v2/${name}/manifests/million`;
    const ask = { method: 'PUT', path, body, headers: { 'content-type': indexType } };
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        await assertRefused(new Client(planes().server), ask, { 400: 'MANIFEST_INVALID' });
      }),
    );
    // They took a minute and a half before values were counted.
    assert.ok(performance.now() - began < 30_000);
  });

  for (const [way, client] of ways) {
    it(`serves a manifest despite an Accept header of 8 KB, through ${way}`, async () => {
      const accept = Array.from(
        { length: 200 },
        (_, i) => `application/vnd.example.type${i}+json;q=0.5`,
      ).join(', ');
      assert.ok(accept.length > 8000);
      const headers = { accept };
      const path = `/v2/${name}/manifests/there`;
      await client().must(200, { method: 'GET', path, headers });
    });

    it(`refuses altered and foreign upload states, through ${way}`, async () => {
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

    it(`refuses chunks with a wrong range, an overlap or a gap, and continues the upload, through ${way}`, async () => {
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

    it(`answers invalid ranges with 416 or the whole blob, through ${way}`, async () => {
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
