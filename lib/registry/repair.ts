import type { RepositoryName } from '../protocol/names.ts';
import { maxPage } from '../protocol/pages.ts';
import type { Registry } from './registry.ts';

/** Repositories whose referrers are repaired at once. */
const parallelRepairs = 8;

/** What a repair of all repositories has changed. */
export interface RepairedReferrers {
  /** Repositories that have an index of referrers. */
  readonly repositories: number;
  readonly added: number;
  readonly removed: number;
}

/**
 * Puts right the index of referrers of each repository in the bucket that has one.
 * @param full whether all their manifests are read again, instead of those that were linked since the last time
 */
export async function repairReferrers(
  { catalog, referrers }: Pick<Registry, 'catalog' | 'referrers'>,
  full = false,
): Promise<RepairedReferrers> {
  let [repositories, added, removed] = [0, 0, 0];
  for (let last = '', more = true; more;) {
    const page = await catalog.list({ n: maxPage, last });
    for (let at = 0; at < page.names.length; at += parallelRepairs) {
      const some = page.names.slice(at, at + parallelRepairs) as RepositoryName[];
      const repaired = await Promise.all(some.map(async (name) => await referrers.repair(name, full)));
      for (const one of repaired.filter((result) => result !== undefined)) {
        repositories += 1;
        added += one.added;
        removed += one.removed;
      }
    }
    more = page.more;
    last = page.names.at(-1) ?? last;
  }
  return { repositories, added, removed };
}
