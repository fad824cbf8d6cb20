import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { blobData } from '../../../lib/registry/layout.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import {
  descriptor,
  digestOf,
  dockerImageType,
  dockerListType,
  imageType,
  indexType,
  manifest,
  someName,
  type Client,
} from '../client.ts';
import { conditionOn, conditions, readConditions, type Case, type Expectation } from './case.ts';

/** Pushes a config and a layer, and describes them. */
async function parts(client: Client, name: string) {
  const [config, layer] = [randomBytes(30), randomBytes(40)];
  await client.pushBlob(name, config);
  await client.pushBlob(name, layer);
  return { config: descriptor(config), layers: [descriptor(layer)] };
}

/** PUTs a manifest by tag `v1` unless said otherwise. */
function push(
  title: string,
  make: (
    client: Client,
    name: string,
  ) => Promise<{ bytes: Buffer; type?: string | undefined; reference?: string; expect: Expectation }>,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      const { bytes, type, reference = 'v1', expect } = await make(client, name);
      const headers = type === undefined ? {} : { 'content-type': type };
      return {
        ask: { method: 'PUT', path: `/v2/${name}/manifests/${reference}`, headers, body: bytes },
        expect,
      };
    },
  };
}

/** A case on a repository with an image tagged `v1` and `latest`. */
function onImage(
  title: string,
  make: (image: { name: string; digest: string; bytes: Buffer; client: Client }) => Promise<{
    method: string;
    reference: string;
    expect: Expectation;
    headers?: Record<string, string | string[]>;
  }>,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      const { bytes, digest } = await client.pushImage(name, 'v1');
      await client.pushManifest(name, 'latest', bytes);
      const { method, reference, expect, headers = {} } = await make({ name, digest, bytes, client });
      return { ask: { method, path: `/v2/${name}/manifests/${reference}`, headers }, expect };
    },
  };
}

const invalid = (...mentions: string[]): Expectation => ({
  status: 400,
  errors: ['MANIFEST_INVALID'],
  mentions,
});
const unknown: Expectation = { status: 404, errors: ['MANIFEST_UNKNOWN'] };

const created = (bytes: Buffer): Expectation => ({
  status: 201,
  headers: {
    location: new RegExp(`/manifests/${digestOf(bytes)}$`),
    'docker-content-digest': digestOf(bytes),
    'content-length': '0',
  },
});

const pushing: readonly Case[] = [
  ...[imageType, dockerImageType].map((type) =>
    push(`PUT takes an image of type ${type}`, async (client, name) => {
      const bytes = manifest(await parts(client, name), type);
      return { bytes, type, expect: created(bytes) };
    }),
  ),
  ...[indexType, dockerListType].map((type) =>
    push(`PUT takes an index of type ${type}`, async (client, name) => {
      const { bytes: child } = await client.pushImage(name, 'child');
      const bytes = manifest({ manifests: [descriptor(child, imageType)] }, type);
      return { bytes, type, expect: created(bytes) };
    }),
  ),
  push('PUT takes an OCI image that does not name its own type', async (client, name) => {
    const bytes = manifest(await parts(client, name), undefined);
    return { bytes, type: imageType, expect: created(bytes) };
  }),
  push('PUT ignores parameters of the type', async (client, name) => {
    const bytes = manifest(await parts(client, name));
    return { bytes, type: `${imageType}; charset=utf-8`, expect: created(bytes) };
  }),
  push('PUT by digest stores without a tag', async (client, name) => {
    const bytes = manifest(await parts(client, name));
    return { bytes, type: imageType, reference: digestOf(bytes), expect: created(bytes) };
  }),
  push('PUT refuses another digest than that of the bytes', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: imageType,
    reference: digestOf(Buffer.from('other')),
    expect: { status: 400, errors: ['DIGEST_INVALID'] },
  })),
  push('PUT names every blob that is missing', async (client, name) => {
    const [config, layer] = [descriptor(randomBytes(5)), descriptor(randomBytes(6))];
    const { layers } = await parts(client, name);
    const missing = [config, layer].map(({ digest }) => String(digest));
    return {
      bytes: manifest({ config, layers: [...layers, layer] }),
      type: imageType,
      expect: { status: 404, errors: ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN'], mentions: missing },
    };
  }),
  push('PUT refuses blobs that only another repository has', async (client) => ({
    bytes: manifest(await parts(client, someName())),
    type: imageType,
    expect: { status: 404, errors: ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN'] },
  })),
  push('PUT names every child of an index that is missing', async (client, name) => {
    const { bytes: there } = await client.pushImage(name, 'there');
    const [one, two] = [descriptor(randomBytes(7), imageType), descriptor(randomBytes(8), imageType)];
    return {
      bytes: manifest({ manifests: [one, descriptor(there, imageType), two] }, indexType),
      type: indexType,
      expect: {
        status: 404,
        errors: ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN'],
        mentions: [String(one['digest']), String(two['digest'])],
      },
    };
  }),
  push('PUT takes a subject that is not there', async (client, name) => {
    const subject = descriptor(randomBytes(9), imageType);
    const bytes = manifest({ ...(await parts(client, name)), subject });
    return { bytes, type: imageType, expect: created(bytes) };
  }),
  push('PUT takes layers that are to be had elsewhere', async (client, name) => {
    const { config } = await parts(client, name);
    const foreign = descriptor(randomBytes(9), 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip');
    const bytes = manifest(
      { config, layers: [{ ...foreign, urls: ['https://example.com/layer'] }] },
      dockerImageType,
    );
    return { bytes, type: dockerImageType, expect: created(bytes) };
  }),
  push('PUT takes an image without layers', async (client, name) => {
    const { config } = await parts(client, name);
    const bytes = manifest({ config, layers: [] });
    return { bytes, type: imageType, expect: created(bytes) };
  }),
  push('PUT takes an index of blobs, as BuildKit keeps its caches', async (client, name) => {
    const [layer, cache] = [randomBytes(30), randomBytes(40)];
    await client.pushBlob(name, layer);
    await client.pushBlob(name, cache);
    const manifests = [
      descriptor(layer, 'application/vnd.oci.image.layer.v1.tar+gzip'),
      descriptor(cache, 'application/vnd.buildkit.cacheconfig.v0'),
    ];
    const bytes = manifest({ manifests }, indexType);
    return { bytes, type: indexType, expect: created(bytes) };
  }),
  push('PUT names the blobs of an index that are missing', async (client, name) => {
    const { bytes: child } = await client.pushImage(name, 'child');
    const cache = descriptor(randomBytes(5), 'application/vnd.buildkit.cacheconfig.v0');
    const bytes = manifest({ manifests: [descriptor(child, imageType), cache] }, indexType);
    const mentions = [String(cache['digest'])];
    return { bytes, type: indexType, expect: { status: 404, errors: ['MANIFEST_BLOB_UNKNOWN'], mentions } };
  }),
  ...[null, undefined].map((layers) =>
    push(`PUT takes an image whose layers are ${layers}`, async (client, name) => {
      const { config } = await parts(client, name);
      const bytes = manifest({ config, layers });
      return { bytes, type: imageType, expect: created(bytes) };
    }),
  ),
  push('PUT takes an index whose manifests are null', async () => {
    const bytes = manifest({ manifests: null }, indexType);
    return await Promise.resolve({ bytes, type: indexType, expect: created(bytes) });
  }),
  push('PUT refuses annotations that no client in Go can read', async (client, name) => ({
    bytes: manifest({ ...(await parts(client, name)), annotations: { build: 7 } }),
    type: imageType,
    expect: invalid('annotations must be a text'),
  })),
  push('PUT refuses a type that is not the one the manifest names', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: dockerImageType,
    expect: invalid(imageType),
  })),
  push(
    'PUT refuses what is no JSON',
    async () => await Promise.resolve({ bytes: Buffer.from('{'), type: imageType, expect: invalid('JSON') }),
  ),
  push(
    'PUT refuses an empty body',
    async () => await Promise.resolve({ bytes: Buffer.alloc(0), type: imageType, expect: invalid('JSON') }),
  ),
  push('PUT refuses what is both an image and an index', async (client, name) => ({
    bytes: manifest({ ...(await parts(client, name)), manifests: [] }),
    type: imageType,
    expect: invalid('not both'),
  })),
  push('PUT refuses fields that some clients would take for others', async (client, name) => ({
    bytes: manifest({ ...(await parts(client, name)), Layers: [] }),
    type: imageType,
    expect: invalid('Layers'),
  })),
  push('PUT refuses a byte order mark', async (client, name) => ({
    bytes: Buffer.concat([Buffer.from('\ufeff'), manifest(await parts(client, name))]),
    type: imageType,
    expect: invalid('JSON'),
  })),
  push(
    'PUT refuses a schema 1 manifest and says what to do',
    async () =>
      await Promise.resolve({
        bytes: Buffer.from(JSON.stringify({ schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [] })),
        type: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
        expect: invalid('docker 1.10'),
      }),
  ),
  push(
    'PUT refuses more than 4 MiB with 413',
    async () =>
      await Promise.resolve({
        bytes: Buffer.alloc(4 * 1024 * 1024 + 1, 0x20),
        type: imageType,
        expect: { status: 413, errors: ['SIZE_INVALID'] },
      }),
  ),
  push('PUT takes 4 MiB', async (client, name) => {
    const bytes = Buffer.alloc(4 * 1024 * 1024, 0x20);
    manifest(await parts(client, name)).copy(bytes);
    return { bytes, type: imageType, expect: created(bytes) };
  }),
  push('PUT refuses a tag out of grammar', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: imageType,
    reference: '-v1',
    expect: { status: 400, errors: ['TAG_INVALID'] },
  })),
];

const damages: Readonly<
  Record<string, (store: ObjectStore, key: string, bytes: Buffer) => Promise<unknown>>
> = {
  altered: async (store, key, bytes) =>
    await store.put(key, Buffer.from(bytes.toString().replace('"size": ', '"size":9'))),
  'cut short': async (store, key, bytes) => await store.put(key, bytes.subarray(0, -10)),
  emptied: async (store, key) => await store.put(key, Buffer.alloc(0)),
  // As distribution's garbage collection does.
  deleted: async (store, key) => {
    await store.delete([key]);
  },
};

const pulling: readonly Case[] = [
  ...(['v1', 'digest'] as const).map((by) =>
    onImage(
      `GET sends a manifest by ${by === 'v1' ? 'tag' : 'digest'}, byte for byte and with its type`,
      async ({ digest, bytes }) =>
        await Promise.resolve({
          method: 'GET',
          reference: by === 'v1' ? 'v1' : digest,
          headers: { accept: [imageType, `${indexType}, */*`] },
          expect: {
            status: 200,
            headers: {
              'content-type': imageType,
              'docker-content-digest': digest,
              'content-length': String(bytes.length),
            },
            bytes,
          },
        }),
    ),
  ),
  ...(['v1', 'digest'] as const).map((by) =>
    onImage(
      `HEAD describes a manifest by ${by === 'v1' ? 'tag' : 'digest'}`,
      async ({ digest, bytes }) =>
        await Promise.resolve({
          method: 'HEAD',
          reference: by === 'v1' ? 'v1' : digest,
          expect: {
            status: 200,
            headers: {
              'content-type': imageType,
              'docker-content-digest': digest,
              'content-length': String(bytes.length),
            },
          },
        }),
    ),
  ),
  ...['GET', 'HEAD', 'DELETE'].map((method) =>
    onImage(
      `${method} of an unknown tag is 404`,
      async () => await Promise.resolve({ method, reference: 'v2', expect: unknown }),
    ),
  ),
  ...['GET', 'HEAD', 'DELETE'].map((method) =>
    onImage(
      `${method} of an unknown digest is 404`,
      async () =>
        await Promise.resolve({ method, reference: digestOf(Buffer.from('none')), expect: unknown }),
    ),
  ),
  onImage('GET follows a tag that was moved', async ({ client, name }) => {
    const { bytes, digest } = await client.pushImage(name, 'v1');
    return {
      method: 'GET',
      reference: 'v1',
      expect: { status: 200, headers: { 'docker-content-digest': digest }, bytes },
    };
  }),
  onImage('GET does not take a layer for a manifest', async ({ client, name }) => ({
    method: 'GET',
    reference: await client.pushBlob(name, randomBytes(10)),
    expect: unknown,
  })),
  ...(['GET', 'HEAD'] as const).flatMap((method) =>
    (['v1', 'digest'] as const).flatMap((by) =>
      Object.entries(damages).map(([what, damage]): Case => ({
        title: `${method} by ${by} of a manifest whose bytes were ${what} in the bucket is ${what === 'deleted' ? 404 : 500}`,
        async act({ client, store }) {
          const name = someName();
          const { bytes, digest } = await client.pushImage(name, 'v1');
          await damage(store, blobData(parseDigest(digest)), bytes);
          return {
            ask: { method, path: `/v2/${name}/manifests/${by === 'v1' ? 'v1' : digest}` },
            expect:
              what === 'deleted'
                ? unknown
                : {
                    ...{ status: 500, errors: ['UNKNOWN'] },
                    mentions: method === 'GET' ? ['push it again'] : [],
                  },
          };
        },
      })),
    ),
  ),
];

const deleting: readonly Case[] = [
  onImage(
    'DELETE removes a tag',
    async () => await Promise.resolve({ method: 'DELETE', reference: 'v1', expect: { status: 202 } }),
  ),
  onImage('keeps the manifest of a deleted tag', async ({ client, name, digest, bytes }) => {
    await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/v1` });
    return { method: 'GET', reference: digest, expect: { status: 200, bytes } };
  }),
  onImage('has a deleted tag no more', async ({ client, name }) => {
    await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/v1` });
    return { method: 'GET', reference: 'v1', expect: unknown };
  }),
  onImage('keeps other tags of the manifest', async ({ client, name, bytes }) => {
    await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/v1` });
    return { method: 'GET', reference: 'latest', expect: { status: 200, bytes } };
  }),
  onImage(
    'DELETE removes a manifest',
    async ({ digest }) =>
      await Promise.resolve({ method: 'DELETE', reference: digest, expect: { status: 202 } }),
  ),
  ...(['v1', 'latest', 'digest'] as const).map((by) =>
    onImage(`a deleted manifest is gone by ${by}`, async ({ client, name, digest }) => {
      await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/${digest}` });
      return { method: 'GET', reference: by === 'digest' ? digest : by, expect: unknown };
    }),
  ),
  onImage('keeps a tag that had pointed at a deleted manifest before', async ({ client, name, digest }) => {
    const { bytes } = await client.pushImage(name, 'latest');
    await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/${digest}` });
    return { method: 'GET', reference: 'latest', expect: { status: 200, bytes } };
  }),
  ...conditions.flatMap(([headers, holds]) =>
    (['tag', 'digest'] as const).map((by) =>
      onImage(
        `DELETE by ${by} ${holds ? 'removes' : 'keeps'} it on the condition ${JSON.stringify(headers)}`,
        async ({ client, name, digest, bytes }) => {
          const reference = by === 'tag' ? 'v1' : digest;
          const path = `/v2/${name}/manifests/${reference}`;
          const condition = conditionOn(digest, headers);
          await client.must(holds ? 202 : 412, { method: 'DELETE', path, headers: condition });
          return { method: 'GET', reference, expect: holds ? unknown : { status: 200, bytes } };
        },
      ),
    ),
  ),
  ...['new', `sha256:${'0'.repeat(64)}`].map((reference) =>
    onImage(
      `DELETE of the unknown ${reference.slice(0, 8)} is 404 on any condition`,
      async () =>
        await Promise.resolve({
          method: 'DELETE',
          reference,
          headers: { 'if-match': '"other"' },
          expect: unknown,
        }),
    ),
  ),
  ...['GET', 'HEAD'].flatMap((method) =>
    readConditions.map(([headers, holds]) =>
      onImage(
        `${method} is answered with ${holds ? 'the manifest' : '412'} on the condition ${JSON.stringify(headers)}`,
        async ({ digest, bytes }) =>
          await Promise.resolve({
            method,
            reference: 'v1',
            headers: conditionOn(digest, headers),
            expect: holds ? { status: 200, ...(method === 'GET' && { bytes }) } : { status: 412 },
          }),
      ),
    ),
  ),
  onImage('a deleted manifest can be pushed again', async ({ client, name, digest, bytes }) => {
    await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/${digest}` });
    await client.pushManifest(name, 'again', bytes);
    return { method: 'GET', reference: digest, expect: { status: 200, bytes } };
  }),
];

/** end-7b */
const tagging: readonly Case[] = [
  push('PUT by digest moves the tags that it names', async (client, name) => {
    const bytes = manifest(await parts(client, name));
    const { headers, ...expect } = created(bytes);
    const named = Array.from({ length: 10 }, (_, i) => `tag=v${i}`).join('&');
    return {
      bytes,
      type: imageType,
      reference: `${digestOf(bytes)}?${named}&tag=v0`,
      expect: { ...expect, headers: { ...headers, 'oci-tag': 'v0, v1, v2, v3, v4, v5, v6, v7, v8, v9' } },
    };
  }),
  ...['v1', 'latest'].map((tag) =>
    onImage(`has each tag of a push by digest, such as ${tag}`, async ({ client, name }) => {
      const bytes = manifest(await parts(client, name));
      await client.pushManifest(name, `${digestOf(bytes)}?tag=v1&tag=latest`, bytes);
      return { method: 'GET', reference: tag, expect: { status: 200, bytes } };
    }),
  ),
  ...(['GET', 'HEAD'] as const).map((method) =>
    onImage(`${method} by a tag tells the SHA-512 that it was pushed by`, async ({ client, name, bytes }) => {
      const digest = digestOf(bytes, 'sha512');
      await client.pushManifest(name, `${digest}?tag=v1`, bytes);
      const found = { status: 200, headers: { 'docker-content-digest': digest } };
      return { method, reference: 'v1', expect: method === 'GET' ? { ...found, bytes } : found };
    }),
  ),
  onImage('GET sends a manifest by its SHA-512', async ({ client, name, bytes }) => {
    const digest = digestOf(bytes, 'sha512');
    await client.pushManifest(name, digest, bytes);
    return { method: 'GET', reference: digest, expect: { status: 200, bytes } };
  }),
  onImage(
    'has no SHA-512 of what was pushed without one',
    async ({ bytes }) =>
      await Promise.resolve({ method: 'GET', reference: digestOf(bytes, 'sha512'), expect: unknown }),
  ),
  push('PUT refuses another SHA-512 than that of the bytes', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: imageType,
    reference: digestOf(Buffer.from('other'), 'sha512'),
    expect: { status: 400, errors: ['DIGEST_INVALID'] },
  })),
  push('PUT refuses a tag out of grammar beside a digest, and stores nothing', async (client, name) => {
    const bytes = manifest(await parts(client, name));
    const expect = { status: 400, errors: ['TAG_INVALID'] };
    return { bytes, type: imageType, reference: `${digestOf(bytes)}?tag=good&tag=-bad`, expect };
  }),
  push('PUT refuses 51 tags with 414', async (client, name) => {
    const bytes = manifest(await parts(client, name));
    const tags = Array.from({ length: 51 }, (_, i) => `tag=v${i}`).join('&');
    const expect = { status: 414, errors: ['TAG_INVALID'] };
    return { bytes, type: imageType, reference: `${digestOf(bytes)}?${tags}`, expect };
  }),
  push('PUT by a tag takes no others', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: imageType,
    reference: 'v1?tag=v2',
    expect: { status: 400, errors: ['UNSUPPORTED'] },
  })),
  ...[imageType, indexType].map((type) =>
    push(`PUT says that it has seen the subject of a manifest of type ${type}`, async (client, name) => {
      const subject = descriptor(randomBytes(9), imageType);
      const rest = type === imageType ? await parts(client, name) : { manifests: [] };
      const bytes = manifest({ ...rest, subject }, type);
      const headers = { 'oci-subject': String(subject['digest']) };
      return { bytes, type, expect: { status: 201, headers } };
    }),
  ),
  push('PUT of a manifest without a subject says nothing of one', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: imageType,
    expect: { status: 201, headers: { 'oci-subject': undefined, 'oci-tag': undefined } },
  })),
];

/** RFC 9110, section 13 */
const conditional: readonly Case[] = [
  ...['GET', 'HEAD'].flatMap((method) =>
    (['v1', 'digest'] as const).map((by) =>
      onImage(
        `${method} by ${by} is 304 for who has the manifest`,
        async ({ digest }) =>
          await Promise.resolve({
            method,
            reference: by === 'v1' ? 'v1' : digest,
            headers: { 'if-none-match': `"other", W/"${digest}"` },
            expect: { status: 304, headers: { etag: `"${digest}"`, 'docker-content-digest': digest } },
          }),
      ),
    ),
  ),
  onImage(
    'GET sends a manifest to who has another',
    async ({ digest, bytes }) =>
      await Promise.resolve({
        method: 'GET',
        reference: 'v1',
        headers: { 'if-none-match': '"other"' },
        expect: { status: 200, headers: { etag: `"${digest}"` }, bytes },
      }),
  ),
  onImage(
    'GET of an unknown tag is 404 for who has any',
    async () =>
      await Promise.resolve({
        method: 'GET',
        reference: 'v2',
        headers: { 'if-none-match': '*' },
        expect: unknown,
      }),
  ),
  ...(
    [
      ['If-None-Match: * where the tag is there', 'v1', { 'if-none-match': '*' }, 412],
      ['If-None-Match: * where it is not', 'new', { 'if-none-match': '*' }, 201],
      ['If-Match with what the tag points at', 'v1', { 'if-match': 'digest' }, 201],
      ['If-Match with something else', 'v1', { 'if-match': '"other"' }, 412],
      ['If-Match with a weak tag, which matches nothing', 'v1', { 'if-match': 'weak' }, 412],
      ['If-Match: * where the tag is not there', 'new', { 'if-match': '*' }, 412],
      ['If-Match: * where it is', 'v1', { 'if-match': '*' }, 201],
      ['If-None-Match with something else', 'v1', { 'if-none-match': '"other"' }, 201],
    ] as const
  ).map(([what, reference, conditions, status]): Case => ({
    title: `PUT is ${status} for ${what}`,
    async act({ client }) {
      const name = someName();
      const { digest, bytes: old } = await client.pushImage(name, 'v1');
      const bytes = manifest(await parts(client, name));
      const tags: Readonly<Record<string, string>> = { digest: `"${digest}"`, weak: `W/"${digest}"` };
      const asked = Object.entries<string>(conditions).map(
        ([header, tag]) => [header, tags[tag] ?? tag] as const,
      );
      const path = `/v2/${name}/manifests/${reference}`;
      const headers = { 'content-type': imageType, ...Object.fromEntries<string>(asked) };
      const { body } = await client.must(status, { method: 'PUT', path, headers, body: bytes });
      if (status === 412) assert.match(body.toString(), /"code":"DENIED".*If-Match/);
      // What was refused has changed nothing.
      const there = status === 201 ? bytes : reference === 'v1' ? old : undefined;
      return {
        ask: { method: 'GET', path },
        expect: there === undefined ? unknown : { status: 200, bytes: there },
      };
    },
  })),
];

/** content-negotiation.md of the spec: clients without any notion of platforms, and those with. */
const negotiated: readonly Case[] = (
  [
    ['to who takes images alone', dockerImageType, 'amd64'],
    ['to who takes images alone, on several lines', [dockerImageType, 'text/plain'], 'amd64'],
    ['to who takes lists as well', `${dockerImageType}, ${dockerListType}`, 'list'],
    ['to who takes images rather than lists', `${dockerImageType}, ${dockerListType};q=0.1`, 'list'],
    ['to who takes no lists', `${dockerImageType}, ${dockerListType};q=0`, 'amd64'],
    ['to who takes anything', '*/*', 'list'],
    ['to who says nothing', undefined, 'list'],
    ['to who takes images of another kind alone', imageType, 'list'],
  ] as const
).flatMap(([what, accept, which]) =>
  (['GET', 'HEAD', 'GET by digest'] as const).map((how): Case => {
    const given = how === 'GET by digest' ? 'list' : which;
    return {
      title: `${how} gives ${given === 'list' ? 'a list' : 'its image for linux/amd64'} ${what}`,
      async act({ client }) {
        const name = someName();
        const images: { bytes: Buffer; platform: Record<string, string> }[] = [];
        for (const architecture of ['arm64', 'amd64']) {
          const bytes = manifest(await parts(client, name), dockerImageType);
          await client.pushManifest(name, digestOf(bytes), bytes, dockerImageType);
          images.push({ bytes, platform: { os: 'linux', architecture } });
        }
        const manifests = images.map(({ bytes, platform }) => ({
          ...descriptor(bytes, dockerImageType),
          platform,
        }));
        const list = manifest({ manifests }, dockerListType);
        await client.pushManifest(name, 'v1', list, dockerListType);
        const [bytes, type] =
          given === 'list' ? [list, dockerListType] : [images[1]?.bytes ?? list, dockerImageType];
        const [method = ''] = how.split(' ');
        const reference = how === 'GET by digest' ? digestOf(list) : 'v1';
        const headers = accept === undefined ? {} : { accept };
        const described = {
          'content-type': type,
          'docker-content-digest': digestOf(bytes),
          'content-length': String(bytes.byteLength),
          vary: reference === 'v1' ? 'Accept' : undefined,
        };
        return {
          ask: { method, path: `/v2/${name}/manifests/${reference}`, headers },
          expect: { status: 200, headers: described, ...(method === 'GET' ? { bytes } : {}) },
        };
      },
    };
  }),
);

/** "Registry Proxying": who pulls may say at which host it looks for the repository. */
const namespaces: readonly Case[] = (
  [
    ['docker.io', 'docker.io'],
    ['localhost:5000', 'localhost:5000'],
    ['[2001:db8::1]:443', '[2001:db8::1]:443'],
    ['a b', undefined],
    ['a\r\nx: y', undefined],
    ['', undefined],
  ] as const
).map(([ns, told]) =>
  onImage(
    `GET ${told === undefined ? 'passes over' : 'repeats'} the namespace ${JSON.stringify(ns)}`,
    async ({ bytes }) =>
      await Promise.resolve({
        method: 'GET',
        reference: `v1?ns=${encodeURIComponent(ns)}`,
        expect: { status: 200, headers: { 'oci-namespace': told }, bytes },
      }),
  ),
);

export const manifestCases: readonly Case[] = [...pushing, ...pulling, ...deleting];

/** What OCI Distribution 1.1 and HTTP's conditions add. */
export const newerManifestCases: readonly Case[] = [...tagging, ...conditional];

/** What depends on the request alone, and is the same on every store. */
export const wireCases: readonly Case[] = [...negotiated, ...namespaces];
