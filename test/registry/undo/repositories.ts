/** Repositories of tests that delete them whole, and what is in them. */
import { randomBytes } from 'node:crypto';
import type { Digest } from '../../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../../lib/protocol/names.ts';
import {
  blobData,
  layerLink,
  referrersScan,
  repositoryPrefix,
  signaturesPrefix,
  tagIndexLink,
} from '../../../lib/registry/layout.ts';
import { listObjects } from '../../../lib/registry/list-objects.ts';
import { parseRepositoryKey } from '../../../lib/registry/repository-keys.ts';
import { pushedAt } from '../../../lib/registry/undo/history.ts';
import type { Fencing, ObjectStore } from '../../../lib/storage/store.ts';
import { digestOf, pushImage, pushIndex, pushManifest, v1, type PushedImage } from './images.ts';

/** Pushes some of everything: a tag that was moved and is restored, an index, a referrer, and objects of others. */
export async function fill(store: ObjectStore, name: RepositoryName): Promise<PushedImage> {
  await pushImage(store, name, 'v1');
  const image = await pushImage(store, name, 'v1', 'v1.0');
  const then = pushedAt(new Date('2026-01-02T03:04:05.678Z'));
  await store.put(tagIndexLink(name, v1, image.digest), Buffer.from(image.digest), { metadata: then });
  await pushIndex(store, name, [image, await pushImage(store, name)], 'index');
  await pushManifest(store, name, referrerOf(image));
  await store.put(referrersScan(name), Buffer.from('{"at":1}'));
  const signed = randomBytes(20);
  await store.put(blobData(digestOf(signed)), signed);
  const signature = `${signaturesPrefix(name, image.digest)}${digestOf(signed).replace(':', '/')}/link`;
  await store.put(signature, Buffer.from(`${digestOf(signed)}\n`));
  await store.put(`${repositoryPrefix(name)}other/bytes`, randomBytes(100));
  return image;
}

function referrerOf({ digest, bytes, blobs: [config, layer] }: PushedImage): Buffer {
  const descriptor = (blob: Digest | undefined) => ({
    mediaType: 'application/octet-stream',
    digest: blob,
    size: 30,
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      artifactType: 'application/example',
      config: descriptor(config),
      layers: [descriptor(layer)],
      subject: { mediaType, digest, size: bytes.length },
    }),
  );
}

/** A layer that a repository has, and no manifest needs. */
export async function linkLayer(store: ObjectStore, name: RepositoryName): Promise<string> {
  const digest = digestOf(randomBytes(8));
  await store.put(layerLink(name, digest), Buffer.from(digest));
  return layerLink(name, digest);
}

/** All objects of a repository, but for those of repositories below it. */
export async function contentOf(
  store: ObjectStore,
  name: RepositoryName,
): Promise<ReadonlyMap<string, string>> {
  const keys = await Array.fromAsync(listObjects(store, repositoryPrefix(name)), ({ key }) => key);
  const read = keys.map(async (key) => [key, (await store.read(key, 1e6)).bytes.toString('latin1')] as const);
  return new Map(await Promise.all(read));
}

/** When the entries in the histories of a repository's tags were pushed. */
export async function historyOf(
  store: ObjectStore,
  name: RepositoryName,
): Promise<ReadonlyMap<string, string>> {
  const times = new Map<string, string>();
  for await (const { key, lastModified } of listObjects(store, repositoryPrefix(name))) {
    if (parseRepositoryKey(key)?.kind !== 'tag index') continue;
    const { metadata } = await store.head(key, { metadata: true });
    times.set(key, metadata['stowage-pushed-at'] ?? lastModified.toISOString());
  }
  return times;
}

/** A store whose late changes need not be waited for, since the test has stopped no process. */
export function withoutWaits(store: ObjectStore): ObjectStore {
  const { fencing } = store;
  if (fencing === undefined) return store;
  const now = async (work: Promise<number>) => {
    await work;
    return 0;
  };
  const fences: Fencing = {
    open: async (prefix) => await fencing.open(prefix),
    end: async () => await now(fencing.end()),
    openDeletion: async (record) => await fencing.openDeletion(record),
    endDeletion: async (record) => await now(fencing.endDeletion(record)),
    refusal: async () => await fencing.refusal(),
  };
  return new Proxy(store, {
    get(target, property) {
      if (property === 'fencing') return fences;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
