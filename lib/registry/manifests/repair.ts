import type { RepositoryName } from '../../protocol/names.ts';
import { InvalidKey, type OnDamaged } from '../../storage/store.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { RegistryLister, RegistryRepairer, Repaired } from '../interface.ts';
import { referrersPrefix } from '../layout.ts';
import { isDamage } from '../links.ts';

/** Concurrent repairs. */
const parallelRepairs = 8;

/** Changes to all repositories. */
export interface RepairedReferrers {
  /** Repositories with an index of referrers. */
  readonly repositories: number;
  readonly added: number;
  readonly removed: number;
}

/**
 * Repairs the index of referrers of each repository that has one. A damaged repository is reported and skipped.
 * @param full reads all manifests again, not just those linked since the last scan
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
