import { inParallel } from './in-parallel.ts';
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
  const names = await Array.fromAsync(catalog.all());
  const all = await inParallel(names, parallelRepairs, async (name) => await referrers.repair(name, full));
  const repaired = all.filter((one) => one !== undefined);
  return {
    repositories: repaired.length,
    added: repaired.reduce((sum, one) => sum + one.added, 0),
    removed: repaired.reduce((sum, one) => sum + one.removed, 0),
  };
}
