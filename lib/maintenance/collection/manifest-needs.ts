import type { Digest } from '../../protocol/digests.ts';
import { readNeeds, type ManifestNeeds } from '../../protocol/manifest-needs.ts';
import { isDamage } from '../../registry/links.ts';
import { loadManifest } from '../../registry/manifests/cache.ts';
import type { ObjectStore } from '../../storage/store.ts';

/** What a manifest in the bucket names; undefined if it is gone or damaged. */
export async function readManifestNeeds(
  store: ObjectStore,
  digest: Digest,
): Promise<ManifestNeeds | undefined> {
  try {
    const bytes = await loadManifest(store, digest);
    return bytes && readNeeds(bytes);
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}
