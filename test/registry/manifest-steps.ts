/** A store in a folder, which is there while a file's tests run, and steps of tests of manifests on it. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before } from 'node:test';
import { digestFrom, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { parseReference, type Reference } from '../../lib/protocol/references.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

export const types = {
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  ociImage: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
};

export let folder: Folder;
export let store: FilesystemStore;

before(async () => {
  folder = await temporaryFolder('manifests');
  store = await FilesystemStore.open(folder.path);
});

after(() => {
  folder.remove();
});

/** Another process every time. */
export const registry = (on: ObjectStore = store): Registry => createRegistry(on);

let repositories = 0;
export const fresh = (): RepositoryName => parseRepositoryName(`team/app${(repositories += 1)}`);

export const tagged = (tag: string): Reference => ({ kind: 'tag', tag: parseTag(tag) });
export const byDigest = (digest: Digest): Reference => ({ kind: 'digest', digest });
export const digestOf = (bytes: Uint8Array): Digest =>
  digestFrom('sha256', createHash('sha256').update(bytes).digest('hex'));

async function* body(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield await Promise.resolve(bytes);
}

export async function pushBlob(name: RepositoryName, bytes = randomBytes(20)): Promise<Digest> {
  const digest = digestOf(bytes);
  await registry().uploads.put(name, digest, { body: body(bytes), length: bytes.length });
  return digest;
}

export const descriptor = (digest: Digest, more: object = {}) => ({
  mediaType: 'application/octet-stream',
  digest,
  size: 20,
  ...more,
});

/** In a layout of its own, which must come back as it is. */
export const bytesOf = (document: unknown): Buffer =>
  Buffer.from(`${JSON.stringify(document, undefined, 3)}\n\n`);

export const imageOf = (config: Digest, layers: readonly Digest[], more: object = {}): Buffer =>
  bytesOf({
    schemaVersion: 2,
    mediaType: types.ociImage,
    config: descriptor(config),
    layers: layers.map((layer) => descriptor(layer)),
    ...more,
  });

/** @param mediaType of the children */
export const indexOf = (children: readonly Digest[], mediaType = types.ociImage): Buffer =>
  bytesOf({
    schemaVersion: 2,
    mediaType: types.ociIndex,
    manifests: children.map((child) => descriptor(child, { mediaType })),
  });

/** An image that is not pushed yet, whose blobs are in the repository. */
export async function image(name: RepositoryName, more: object = {}): Promise<Buffer> {
  return imageOf(await pushBlob(name), [await pushBlob(name)], more);
}

export async function push(name: RepositoryName, bytes: Buffer, ...references: string[]): Promise<Digest> {
  for (const reference of references)
    await registry().manifests.put(name, parseReference(reference), bytes, undefined);
  return digestOf(bytes);
}

export async function keysBelow(prefix: string): Promise<readonly string[]> {
  return (await store.list({ prefix })).objects.map(({ key }) => key);
}

export async function tagsOf(name: RepositoryName): Promise<readonly string[]> {
  return (await registry().tags.list(name, { n: 1000, last: '' })).names;
}

export const unknown = { failure: 'MANIFEST_UNKNOWN', status: 404 };

export async function assertUnknown(name: RepositoryName, reference: Reference): Promise<void> {
  await assert.rejects(registry().manifests.get(name, reference), unknown);
}

export async function assertFolderExists(
  name: RepositoryName,
  reference: Reference,
  bytes: Buffer,
  mediaType = types.ociImage,
): Promise<void> {
  const info = { digest: digestOf(bytes), mediaType, size: bytes.length };
  assert.deepEqual(await registry().manifests.get(name, reference), { info, bytes });
}
