import { randomBytes } from 'node:crypto';
import type { Digest } from '../../../lib/protocol/digests.ts';
import { RegistryError } from '../../../lib/protocol/errors.ts';
import type { RepositoryName } from '../../../lib/protocol/names.ts';
import { parseReference } from '../../../lib/protocol/references.ts';
import type { Registry } from '../../../lib/registry/interface.ts';
import { createRegistry } from '../../../lib/registry/registry.ts';
import { rollback } from '../../../lib/registry/undo/rollback.ts';
import { restoreTag } from '../../../lib/registry/undo/restore-tag.ts';
import { UndoRefused } from '../../../lib/registry/undo/refused.ts';
import { StoreUnavailable, type ObjectStore } from '../../../lib/storage/store.ts';
import { digestOf, freshName, pushManifest, remove, v1 } from '../undo/images.ts';
import type { Collected } from './small-collection.ts';

/** What a client has of an image. */
export interface LocalImage {
  readonly blobs: readonly Buffer[];
  readonly bytes: Buffer;
  readonly digest: Digest;
}

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';

/** An image that no other is like. */
export function localImage(more: Record<string, unknown> = {}): LocalImage {
  const blobs = [randomBytes(30), randomBytes(40)];
  const [config, layer] = blobs.map((bytes) => ({
    mediaType: 'application/octet-stream',
    digest: digestOf(bytes),
    size: bytes.length,
  }));
  const fields = { schemaVersion: 2, mediaType: imageType, config, layers: [layer], ...more };
  const bytes = Buffer.from(JSON.stringify(fields));
  return { blobs, bytes, digest: digestOf(bytes) };
}

export function descriptorOf({ digest, bytes }: LocalImage) {
  return { mediaType: imageType, digest, size: bytes.length };
}

export function indexOf(images: readonly LocalImage[]): Buffer {
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: images.map(descriptorOf) }),
  );
}

export async function upload(registry: Registry, name: RepositoryName, bytes: Buffer): Promise<void> {
  const body = (async function* () {
    yield await Promise.resolve(bytes);
  })();
  await registry.uploads.put(name, digestOf(bytes), { body, length: bytes.length });
}

/** Uploads the blobs that HEAD does not find. */
export async function uploadMissing(
  registry: Registry,
  name: RepositoryName,
  blobs: readonly Buffer[],
): Promise<void> {
  for (const bytes of blobs) {
    const found = await registry.blobs
      .stat(name, digestOf(bytes), { isExpected: false, hidesCondemned: true })
      .catch(orUnknown);
    if (found === undefined) await upload(registry, name, bytes);
  }
}

function orUnknown(error: unknown): undefined {
  if (error instanceof RegistryError && error.failure === 'BLOB_UNKNOWN') return;
  throw error;
}

async function put(
  registry: Registry,
  name: RepositoryName,
  reference: string,
  bytes: Buffer,
): Promise<void> {
  await registry.manifests.put(name, parseReference(reference), bytes, undefined);
}

/** All of an image into a repository, without a tag. */
export async function pushUntagged(
  store: ObjectStore,
  name: RepositoryName,
  image: LocalImage,
): Promise<void> {
  const registry = createRegistry(store);
  for (const bytes of image.blobs) await upload(registry, name, bytes);
  await put(registry, name, image.digest, image.bytes);
}

/** Garbage, and a client that wants some of it again. */
export interface Scenario {
  readonly collected: Collected;
  /** Where a tag must be at the end, unless the push is refused. */
  readonly pushed: { readonly name: RepositoryName; readonly digest: Digest };
  /** @param attempt from 1: the first may rely on what the client has found out before */
  readonly push: (registry: Registry, store: ObjectStore, attempt: number) => Promise<void>;
}

/** Pushes; each is set up in a new repository. */
export const scenarios: Readonly<Record<string, (store: ObjectStore) => Promise<Scenario>>> = {
  'an image whose blobs are there': async (store) => {
    const [name, image] = [freshName(), localImage()];
    for (const bytes of image.blobs) await upload(createRegistry(store), name, bytes);
    return {
      collected: { names: [name], digests: image.blobs.map(digestOf) },
      pushed: { name, digest: image.digest },
      push: async (registry) => {
        await uploadMissing(registry, name, image.blobs);
        await put(registry, name, v1, image.bytes);
      },
    };
  },

  'a manifest whose blobs the client has found before': async (store) => {
    const [name, image] = [freshName(), localImage()];
    for (const bytes of image.blobs) await upload(createRegistry(store), name, bytes);
    return {
      collected: { names: [name], digests: image.blobs.map(digestOf) },
      pushed: { name, digest: image.digest },
      push: async (registry, _, attempt) => {
        if (attempt > 1) await uploadMissing(registry, name, image.blobs);
        await put(registry, name, v1, image.bytes);
      },
    };
  },

  'an image whose blobs are mounted': async (store) => {
    const [from, name, image] = [freshName(), freshName(), localImage()];
    for (const bytes of image.blobs) await upload(createRegistry(store), from, bytes);
    return {
      collected: { names: [from, name], digests: image.blobs.map(digestOf) },
      pushed: { name, digest: image.digest },
      push: async (registry) => {
        for (const bytes of image.blobs) {
          const mounted = await registry.blobs.mount(name, digestOf(bytes), from);
          if (mounted === undefined) await upload(registry, name, bytes);
        }
        await put(registry, name, v1, image.bytes);
      },
    };
  },

  'an index of images that are there': async (store) => {
    const [name, images] = [freshName(), [localImage(), localImage()]];
    for (const image of images) await pushUntagged(store, name, image);
    const index = indexOf(images);
    return {
      collected: {
        names: [name],
        digests: [
          ...images.map(({ digest }) => digest),
          ...images.flatMap(({ blobs }) => blobs.map(digestOf)),
        ],
      },
      pushed: { name, digest: digestOf(index) },
      push: async (registry, _, attempt) => {
        for (const image of images) {
          if (attempt === 1 || (await registry.manifests.has(name, image.digest))) continue;
          await uploadMissing(registry, name, image.blobs);
          await put(registry, name, image.digest, image.bytes);
        }
        await put(registry, name, v1, index);
      },
    };
  },

  'a tag for an image with a signature': async (store) => {
    const [name, image] = [freshName(), localImage()];
    const signature = localImage({ subject: descriptorOf(image) });
    await pushUntagged(store, name, image);
    await pushUntagged(store, name, signature);
    return {
      collected: {
        names: [name],
        digests: [image, signature].flatMap(({ digest, blobs }) => [digest, ...blobs.map(digestOf)]),
      },
      pushed: { name, digest: image.digest },
      push: async (registry, _, attempt) => {
        if (attempt > 1) await uploadMissing(registry, name, image.blobs);
        await put(registry, name, v1, image.bytes);
      },
    };
  },

  'a rollback of a tag': async (store) => {
    const [name, before, now] = [freshName(), localImage(), localImage()];
    for (const image of [before, now]) {
      await pushUntagged(store, name, image);
      await pushManifest(store, name, image.bytes, v1);
    }
    return {
      collected: { names: [name], digests: [before.digest, ...before.blobs.map(digestOf)] },
      pushed: { name, digest: before.digest },
      push: async (_, on) => {
        await rollback(on, name, v1, before);
      },
    };
  },

  'a deleted tag that is restored': async (store) => {
    const [name, image] = [freshName(), localImage()];
    await pushUntagged(store, name, image);
    await pushManifest(store, name, image.bytes, v1);
    await remove(store, name, v1);
    return {
      collected: { names: [name], digests: [image.digest, ...image.blobs.map(digestOf)] },
      pushed: { name, digest: image.digest },
      push: async (_, on) => {
        await restoreTag(on, name, v1);
      },
    };
  },
};

const maxAttempts = 5;

/**
 * Pushes as a client does, which repeats what fails by no fault of its own.
 * @returns whether it was pushed; false for an undo that is refused since something was collected
 */
export async function pushWithRetries(store: ObjectStore, { push }: Scenario): Promise<boolean> {
  const registry = createRegistry(store);
  for (let attempt = 1; ; attempt++)
    try {
      await push(registry, store, attempt);
      return true;
    } catch (error) {
      if (error instanceof UndoRefused) return false;
      if (attempt === maxAttempts || !isCuredByRetry(error)) throw error;
    }
}

function isCuredByRetry(error: unknown): boolean {
  const failures = ['UNAVAILABLE', 'MANIFEST_BLOB_UNKNOWN'];
  return (
    error instanceof StoreUnavailable || (error instanceof RegistryError && failures.includes(error.failure))
  );
}
