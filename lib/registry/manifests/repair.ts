import type { RepositoryName } from '../../protocol/names.ts';
import { InvalidKey, type OnDamaged } from '../../storage/store.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { RegistryLister, RegistryRepairer, Repaired } from '../interface.ts';
import { referrersPrefix } from '../layout.ts';
import { isDamage } from '../links.ts';

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
 * Puts right the index of referrers of each repository in the bucket that has one. One that is damaged itself is passed over.
 * @param full whether all their manifests are read again, instead of those that were linked since the last time
 */
export async function repairReferrers(
  { catalog, referrers }: RegistryRepairer & Pick<RegistryLister, 'catalog'>,
  { full = false, onDamaged }: { readonly full?: boolean; readonly onDamaged?: OnDamaged | undefined } = {},
): Promise<RepairedReferrers> {
  const repair = async (name: RepositoryName): Promise<Repaired | undefined> => {
    try {
      return await referrers.repair(name, full);
    } catch (error) {
      if (!isDamage(error) && !(error instanceof InvalidKey)) throw error;
      onDamaged?.(referrersPrefix(name), error);
      return undefined;
    }
  };
  const names = await Array.fromAsync(catalog.all());
  const all = await inParallel(names, parallelRepairs, repair);
  const repaired = all.filter((one) => one !== undefined);
  return {
    repositories: repaired.length,
    added: repaired.reduce((sum, one) => sum + one.added, 0),
    removed: repaired.reduce((sum, one) => sum + one.removed, 0),
  };
}
