import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { readNeeds, type ManifestNeeds, type NeededChild } from '../../protocol/manifest-needs.ts';
import { isDamage } from '../../registry/links.ts';
import { loadManifest } from '../../registry/manifests/cache.ts';
import type { ObjectStore } from '../../storage/store.ts';

/** Concurrent reads. */
const parallelReads = 16;

/**
 * What manifests in the bucket name, with what that names. Each is read once. One that is gone or damaged names nothing.
 * @param isManifest whether an entry of an index is read as well
 */
export async function readNeeded(
  store: ObjectStore,
  manifests: Iterable<Digest>,
  isManifest: (child: NeededChild) => boolean,
): Promise<Map<Digest, Set<Digest>>> {
  const needed = new Map<Digest, Set<Digest>>();
  for (let level = new Set(manifests); level.size > 0;) {
    const read = await inParallel([...level], parallelReads, async (digest) => ({
      digest,
      needs: await readManifestNeeds(store, digest),
    }));
    const children: NeededChild[] = [];
    for (const { digest, needs } of read) {
      const named = [...(needs?.blobs ?? []), ...(needs?.children ?? [])];
      needed.set(digest, new Set(named.map((one) => one.digest)));
      children.push(...(needs?.children ?? []).filter(isManifest));
    }
    level = new Set(children.map(({ digest }) => digest).filter((digest) => !needed.has(digest)));
  }
  return needed;
}

async function readManifestNeeds(store: ObjectStore, digest: Digest): Promise<ManifestNeeds | undefined> {
  try {
    const bytes = await loadManifest(store, digest);
    return bytes && readNeeds(bytes);
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}
