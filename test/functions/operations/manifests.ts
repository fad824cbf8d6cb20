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
} from '../client.ts';
import { conditionOn, conditions, readConditions, type Case } from './case.ts';
import { created, invalid, onImage, parts, push, unknown } from './manifest-steps.ts';

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

export const manifestCases: readonly Case[] = [...pushing, ...pulling, ...deleting];
