import { repairReferrers } from '../lib/registry/manifests/repair.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';
import { createMaintenance } from '../lib/compose.ts';

/** Rebuilds the list of repositories and the referrers indexes from the bucket. */
export const handler = scheduled({
  name: 'reindex',
  start: async (config, onDamaged) => ({ ...(await createMaintenance(config, onDamaged)), onDamaged }),
  run: async ({ registry, search, onDamaged }, log) => {
    const reindexed = await search.reindex();
    if (reindexed === undefined) log.info('the bucket itself is the list, so there is nothing to reindex');
    else log.info({ reindexed }, 'the list of repositories matches the bucket');
    const repaired = await repairReferrers(registry, { onDamaged });
    if (repaired.repositories > 0) log.info({ repaired }, 'the referrers indexes match the bucket');
  },
});
