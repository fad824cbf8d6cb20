import type { Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { storedMediaType } from '../../protocol/manifests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { blobData } from '../layout.ts';
import { undefinedIfDamaged } from '../links.ts';
import { loadManifest } from '../manifests/cache.ts';
import type { ManifestPushed } from '../outbox/change.ts';
import { describePush } from '../outbox/describe-push.ts';

/**
 * Describes that a manifest in the bucket comes back to a repository, as its push did. Of one that is damaged or gone only the digest is
 * known.
 */
export async function describeStored(
  store: ObjectStore,
  repository: RepositoryName,
  digest: Digest,
  tags: readonly Tag[] = [],
): Promise<ManifestPushed> {
  const bytes = await undefinedIfDamaged(store, blobData(digest), loadManifest(store, digest));
  const known = bytes ?? Buffer.alloc(0);
  const info = { digest, mediaType: mediaTypeOf(known), size: known.byteLength };
  return describePush({ repository, info, bytes: known, tags });
}

function mediaTypeOf(bytes: Buffer): string {
  try {
    return storedMediaType(bytes);
  } catch (error) {
    if (error instanceof RegistryError) return '';
    throw error;
  }
}
