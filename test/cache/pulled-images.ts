/** Images of an upstream, and how they are pulled through a cache. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import {
  descriptor,
  digestOf,
  imageType,
  indexType,
  manifest,
  type Client,
  type Reply,
} from '../functions/client.ts';

/** An index of one image. */
export interface UpstreamImage {
  readonly name: string;
  readonly index: Buffer;
  readonly manifest: Buffer;
  readonly config: Buffer;
  readonly layer: Buffer;
}

export const accept = { accept: `${indexType}, ${imageType}` };

/** Pushes an image for linux/amd64 as v1. @param layer its bytes */
export async function pushUpstream(
  store: ObjectStore,
  layer: Buffer,
  name = `team/${randomBytes(4).toString('hex')}`,
): Promise<UpstreamImage> {
  const registry = createRegistry(store, { requiredPlatforms: 'none' });
  const repository = parseRepositoryName(name);
  const platform = { os: 'linux', architecture: 'amd64' };
  const config = Buffer.from(JSON.stringify({ ...platform, name }));
  for (const bytes of [config, layer])
    await registry.uploads.put(repository, parseDigest(digestOf(bytes)), {
      body: pieces(bytes),
      length: bytes.length,
    });
  const image = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
  const entry = { mediaType: imageType, digest: digestOf(image), size: image.length, platform };
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [entry] }));
  await registry.manifests.put(repository, parseReference(digestOf(image)), image, undefined);
  await registry.manifests.put(repository, parseReference('v1'), index, undefined);
  return { name, index, manifest: image, config, layer };
}

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}

/** Pulls an image as containerd does. @param name in the cache @param reference its tag, or the digest of its index */
export async function pullImage(
  client: Client,
  name: string,
  image: UpstreamImage,
  { query = '', reference = 'v1' } = {},
): Promise<void> {
  const get = async (path: string, expected: Buffer, method = 'GET'): Promise<Reply> => {
    const reply = await client.send({ method, path: `/v2/${name}/${path}${query}`, headers: accept });
    if (reply.status !== 200) throw new Error(`${path} is ${reply.status}: ${reply.body.toString()}`);
    if (method === 'GET') assert.ok(reply.body.equals(expected), `${path} has other bytes`);
    assert.equal(reply.headers['docker-content-digest'], digestOf(expected));
    return reply;
  };
  await get(`manifests/${reference}`, image.index, 'HEAD');
  await get(`manifests/${digestOf(image.index)}`, image.index);
  await get(`manifests/${digestOf(image.manifest)}`, image.manifest);
  await Promise.all([
    get(`blobs/${digestOf(image.config)}`, image.config),
    get(`blobs/${digestOf(image.layer)}`, image.layer),
  ]);
}
