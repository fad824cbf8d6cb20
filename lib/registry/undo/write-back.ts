import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { NewObject, ObjectStore } from '../../storage/store.ts';
import type { Collections } from '../collection/collections.ts';
import type { CollectionView } from '../collection/views.ts';
import { blobData } from '../layout.ts';
import { exists } from '../links.ts';
import { digestOfLink, parseRepositoryKey } from '../repository-keys.ts';

/** Concurrent looks and writes. */
const parallelWrites = 16;

/** Writes objects again that a delete of a repository took, whatever is there. */
export async function writeBack(
  store: ObjectStore,
  { fence }: Pick<CollectionView, 'fence'>,
  objects: readonly NewObject[],
): Promise<void> {
  await inParallel(objects, parallelWrites, async ({ key, bytes, metadata }) => {
    await store.put(key, bytes, { fence, ...(metadata && { metadata }) });
  });
}

/**
 * Rescues what links lead to, and looks for its bytes: what is there is there to stay until the commit of the link. Manifests are only
 * looked for, since what they need must be rescued first: see `rescueImage`.
 * @returns the digests whose bytes are gone
 */
export async function rescueLinks(
  store: ObjectStore,
  collections: Collections,
  view: CollectionView,
  name: RepositoryName,
  keys: readonly string[],
): Promise<ReadonlySet<Digest | undefined>> {
  const digests = [...new Set(keys.flatMap((key) => digestOfLink(key) ?? []))];
  const manifests = new Set(
    keys.filter((key) => parseRepositoryKey(key)?.kind === 'revision').map(digestOfLink),
  );
  await collections.rescue(view, name, [digests.filter((digest) => !manifests.has(digest))]);
  const hasBytes = await inParallel(
    digests,
    parallelWrites,
    async (digest) => await exists(store, blobData(digest)),
  );
  return new Set(digests.filter((_, i) => !hasBytes[i]));
}
