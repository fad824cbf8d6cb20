import { readReferrer } from '../../protocol/referrers.ts';
import { referrerKey, revisionLink } from '../../registry/layout.ts';
import { exists, undefinedIfMissing } from '../../registry/links.ts';
import { loadManifest } from '../../registry/manifests/cache.ts';
import { writeReferrer } from '../../registry/manifests/referrers.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { damage, orDamage } from './links.ts';
import type { Repair } from './findings.ts';
import { writeMissingLink } from './write-link.ts';

/**
 * Mends what a finding says. Each of these may be done while clients push and delete, and again after an interruption; none deletes
 * what anything reads.
 * @returns whether it was done; false if the object has changed since it was found
 */
export async function applyRepair(store: ObjectStore, repair: Repair): Promise<boolean> {
  switch (repair.action) {
    case 'write-link':
      return await writeMissingLink(store, repair.key, repair.digest);
    case 'write-referrer':
      await writeReferrer(store, repair.name, repair.referrer);
      return true;
    case 'delete-referrer':
      return await deleteReferrer(store, repair);
    case 'delete-session': {
      const now = await undefinedIfMissing(store.head(repair.key));
      if (now?.etag !== repair.etag) return false;
      await store.delete([repair.key], { transient: true });
      return true;
    }
  }
}

/** Removes an entry, and restores it if a concurrent push has linked its manifest meanwhile. */
async function deleteReferrer(
  store: ObjectStore,
  { name, subject, referrer }: Extract<Repair, { action: 'delete-referrer' }>,
): Promise<boolean> {
  await store.delete([referrerKey(name, subject, referrer)]);
  if (!(await exists(store, revisionLink(name, referrer)))) return true;
  const bytes = await orDamage(async () => await loadManifest(store, referrer));
  const found = bytes === undefined || bytes === damage ? undefined : readReferrer(bytes, referrer);
  if (found?.subject !== subject) return true;
  await writeReferrer(store, name, found);
  return false;
}
