import { repairReferrers } from '../lib/registry/manifests/repair.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';
import { createMaintenance } from '../lib/compose.ts';

/** Makes the list of repositories that of the bucket, and puts the indexes of referrers right. */
export const handler = scheduled({
  name: 'reindex',
  start: async (config, onDamaged) => ({ ...(await createMaintenance(config, onDamaged)), onDamaged }),
  run: async ({ registry, search, onDamaged }, log) => {
    const reindexed = await search.reindex();
    if (reindexed === undefined) log.info('the bucket is the list: there is nothing to reindex');
    else log.info({ reindexed }, 'the list of repositories is that of the bucket');
    const repaired = await repairReferrers(registry, { onDamaged });
    if (repaired.repositories > 0) log.info({ repaired }, 'the referrers are those of the bucket');
  },
});
