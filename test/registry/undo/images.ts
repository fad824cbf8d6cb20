/** Images of tests of undo, pushed to any store. */
import { createHash, randomBytes } from 'node:crypto';
import { digestFrom, type Digest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../../lib/protocol/names.ts';
import { parseReference } from '../../../lib/protocol/references.ts';
import { parseTag, type Tag } from '../../../lib/protocol/tags.ts';
import { createRegistry } from '../../../lib/registry/registry.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';

export const v1 = parseTag('v1');

export function freshName(): RepositoryName {
  return parseRepositoryName(`team/${randomBytes(6).toString('hex')}`);
}

export function digestOf(bytes: Uint8Array): Digest {
  return digestFrom('sha256', createHash('sha256').update(bytes).digest('hex'));
}

async function* body(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield await Promise.resolve(bytes);
}

export interface PushedImage {
  readonly digest: Digest;
  readonly bytes: Buffer;
  /** Config and layer. */
  readonly blobs: readonly Digest[];
}

/** Pushes an image that no other is like. @param references tags, or none to push by digest alone */
export async function pushImage(
  store: ObjectStore,
  name: RepositoryName,
  ...references: readonly string[]
): Promise<PushedImage> {
  const { uploads } = createRegistry(store);
  const blobs = [randomBytes(30), randomBytes(40)];
  for (const bytes of blobs)
    await uploads.put(name, digestOf(bytes), { body: body(bytes), length: bytes.length });
  const [config, layer] = blobs.map((bytes) => ({
    mediaType: 'application/octet-stream',
    digest: digestOf(bytes),
    size: bytes.length,
  }));
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: imageType, config, layers: [layer] }),
  );
  await pushManifest(store, name, bytes, ...references);
  return { digest: digestOf(bytes), bytes, blobs: blobs.map(digestOf) };
}

/** Pushes an index of images. */
export async function pushIndex(
  store: ObjectStore,
  name: RepositoryName,
  images: readonly PushedImage[],
  ...references: readonly string[]
): Promise<Digest> {
  const manifests = images.map(({ digest, bytes }) => ({ mediaType: imageType, digest, size: bytes.length }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }));
  await pushManifest(store, name, bytes, ...references);
  return digestOf(bytes);
}

export async function pushManifest(
  store: ObjectStore,
  name: RepositoryName,
  bytes: Buffer,
  ...references: readonly string[]
): Promise<void> {
  for (const reference of references.length === 0 ? [digestOf(bytes)] : references)
    await createRegistry(store).manifests.put(name, parseReference(reference), bytes, undefined);
}

/** Deletes by tag or digest, as a client does. */
export async function remove(store: ObjectStore, name: RepositoryName, reference: string): Promise<void> {
  await createRegistry(store).manifests.delete(name, parseReference(reference));
}

/** What a tag serves, with everything that the image needs; undefined for an unknown tag. */
export async function pull(
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag | Digest,
): Promise<Digest | undefined> {
  const { manifests, blobs } = createRegistry(store);
  const found = await manifests.get(name, parseReference(tag)).catch((error: unknown) => {
    if ((error as { failure?: unknown }).failure === 'MANIFEST_UNKNOWN') return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  const {
    config,
    layers = [],
    manifests: children = [],
  } = JSON.parse(found.bytes.toString()) as {
    config?: { digest: Digest };
    layers?: { digest: Digest }[];
    manifests?: { digest: Digest }[];
  };
  for (const { digest } of [...(config ? [config] : []), ...layers]) await blobs.stat(name, digest);
  for (const { digest } of children)
    if ((await pull(store, name, digest)) === undefined) throw new Error(`${digest} is missing`);
  return found.info.digest;
}

export async function tagsOf(store: ObjectStore, name: RepositoryName): Promise<readonly string[]> {
  return (await createRegistry(store).tags.list(name, { n: 1000, last: '' })).names;
}
