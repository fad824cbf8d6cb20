import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { Collections } from '../collection/collections.ts';
import { nothingRescued, rescueNeeds, type Rescued } from '../collection/rescue-needs.ts';
import type { CollectionView } from '../collection/views.ts';
import { blobData } from '../layout.ts';
import { undefinedIfDamaged } from '../links.ts';
import { loadManifest } from '../manifests/cache.ts';
import { isRequired, type RequiredPlatforms } from '../manifests/required-platforms.ts';

/** As {@link rescueNeeds}, for a manifest that is in the bucket already. */
export async function rescueImage(
  store: ObjectStore,
  collections: Collections,
  view: CollectionView,
  name: RepositoryName,
  digest: Digest,
  required: RequiredPlatforms = 'all',
): Promise<Rescued> {
  if (view.marks.length === 0) return nothingRescued;
  const load = async (one: Digest) =>
    await undefinedIfDamaged(store, blobData(one), loadManifest(store, one));
  const bytes = await load(digest);
  if (bytes === undefined) return nothingRescued;
  const manifest = { digest, bytes };
  return await rescueNeeds(store, collections, view, name, manifest, {
    load,
    isRequired: (child) => isRequired(child, required),
  });
}
