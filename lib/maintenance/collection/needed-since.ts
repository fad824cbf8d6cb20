import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { clockUnitMs } from '../../registry/collection/mark.ts';
import { undefinedIfDamaged, readLink } from '../../registry/links.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { has, type ListedRepository } from './listed-repository.ts';
import { readManifestNeeds } from './manifest-needs.ts';

/** Concurrent reads. */
const parallelReads = 16;

/**
 * What manifests and tags of a repository need that were written since some time, with these manifests: whatever needs something comes
 * before it.
 * @param since in milliseconds by the clock that dates objects
 * @param unlinked manifests of which the link is missing, and which count like others if one of those that came needs them
 */
export async function neededSince(
  store: ObjectStore,
  { digests, flags, written, tags }: ListedRepository,
  since: number,
  unlinked: ReadonlySet<Digest>,
): Promise<Digest[]> {
  const isNew = (time: number) => time > since - clockUnitMs;
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

  const depths = new Map<Digest, number>();
  let level = [...new Set(roots)];
  // A manifest cannot name one that names it, since digests are hashes.
  for (let depth = 0; level.length > 0; depth++) {
    for (const digest of level) depths.set(digest, depth);
    const needs = await inParallel(level, parallelReads, async (one) => await readManifestNeeds(store, one));
    const below = new Set<Digest>();
    for (const { blobs, children } of needs.flatMap((one) => one ?? [])) {
      for (const { digest } of blobs) depths.set(digest, depth + 1);
      for (const { digest, isManifest } of children) {
        const isRead = isManifest || isLinked(digests.find(digest)) || unlinked.has(digest);
        if (isRead) below.add(digest);
        else depths.set(digest, depth + 1);
      }
    }
    level = [...below];
  }
  return [...depths].sort(([, a], [, b]) => a - b).map(([digest]) => digest);
}
