import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { newerThanMark } from '../../registry/collection/mark.ts';
import { inOrderOfNeed } from '../../registry/collection/order-of-need.ts';
import { undefinedIfDamaged, readLink } from '../../registry/links.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { has, type ListedRepository } from './listed-repository.ts';
import { readNeeded } from './manifest-needs.ts';

/** Concurrent reads. */
const parallelReads = 16;

/**
 * What manifests and tags of a repository need that were written since some time, with these manifests: whatever needs something comes
 * after it.
 * @param since in milliseconds by the clock that dates objects
 * @param unlinked manifests of which the link is missing, and which count like others if one of those that came needs them
 */
export async function neededSince(
  store: ObjectStore,
  { digests, flags, written, tags }: ListedRepository,
  since: number,
  unlinked: ReadonlySet<Digest>,
): Promise<Digest[]> {
  const isNew = (time: number) => time > newerThanMark(since);
  const isLinked = (number: number | undefined) => number !== undefined && flags.has(number, has.revision);
  const roots: Digest[] = [];
  for (let number = 0; number < digests.size; number++)
    if (isLinked(number) && isNew(written.revision.get(number))) roots.push(digests.get(number));
  const links = tags.flatMap(({ link }) => (link !== undefined && isNew(link.written) ? [link.key] : []));
  const pointed = await inParallel(
    links,
    parallelReads,
    async (key) => await undefinedIfDamaged(store, key, readLink(store, key)),
  );
  roots.push(...pointed.flatMap((link) => link?.digest ?? []));

  const needed = await readNeeded(
    store,
    roots,
    ({ digest, isManifest }) => isManifest || isLinked(digests.find(digest)) || unlinked.has(digest),
  );
  return inOrderOfNeed(roots, needed).flat();
}
