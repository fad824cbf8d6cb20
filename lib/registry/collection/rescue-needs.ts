import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { NewObject, ObjectStore } from '../../storage/store.ts';
import { blobData } from '../layout.ts';
import { exists, linkObject } from '../links.ts';
import type { Collections } from './collections.ts';
import { needsOf, type Need, type NeedsOptions } from './needs.ts';
import type { CollectionView } from './views.ts';

/** Concurrent looks at what was rescued. */
const parallelLooks = 32;

/** What was rescued for a manifest, looked at again. */
export interface Rescued {
  /** All that is listed; empty if no mark lists anything that the manifest needs, nor the manifest. */
  readonly listed: ReadonlySet<Digest>;
  /** Of these, what is required and gone. */
  readonly missing: readonly Digest[];
  /** The links of what is there, to be written again before the commit. */
  readonly links: readonly NewObject[];
}

export const nothingRescued: Rescued = { listed: new Set(), missing: [], links: [] };

/**
 * Rescues a manifest and all that it needs before a commit that refers to it, and looks again at what is listed, past all caches. The
 * manifest itself is not looked at.
 * @throws RegistryError UNAVAILABLE if a deletion takes too long
 */
export async function rescueNeeds(
  store: ObjectStore,
  collections: Collections,
  view: CollectionView,
  name: RepositoryName,
  manifest: { readonly digest: Digest; readonly bytes: Uint8Array },
  options: NeedsOptions,
): Promise<Rescued> {
  if (view.marks.length === 0) return nothingRescued;
  const needs = await needsOf(store, name, manifest, options);
  const listed = await collections.rescue(view, name, needs.groups);
  const again = needs.all.filter(({ digest }) => listed.has(digest));
  const links = await inParallel(again, parallelLooks, async (need) => await linksOf(store, need));
  return {
    listed,
    missing: again
      .filter(({ isRequired }, i) => isRequired && links[i]?.length === 0)
      .map(({ digest }) => digest),
    links: again.flatMap(({ digest }, i) =>
      (links[i] ?? []).map((key) => linkObject(key, digest, view.fence)),
    ),
  };
}

/** The links of something that is there with its bytes. */
async function linksOf(store: ObjectStore, { digest, links }: Need): Promise<readonly string[]> {
  const [hasBytes, ...linked] = await Promise.all(
    [blobData(digest), ...links].map(async (key) => await exists(store, key)),
  );
  return hasBytes === true ? links.filter((_, i) => linked[i]) : [];
}
