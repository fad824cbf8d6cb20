import { createRegistry } from '../lib/registry/registry.ts';
import { repairReferrers } from '../lib/registry/manifests/repair.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';
import { createSearch, openStore } from '../lib/compose.ts';

/** Makes the list of repositories that of the bucket, and puts the indexes of referrers right. */
export const handler = scheduled({
  name: 'reindex',
  start: async ({ storage, search }, onDamaged) => {
    const registry = createRegistry(await openStore(storage, { check: false, onDamaged }));
    return { registry, search: createSearch(search, registry), onDamaged };
  },
  run: async ({ registry, search, onDamaged }, log) => {
    const reindexed = await search.reindex();
    if (reindexed === undefined) log.info('the bucket is the list: there is nothing to reindex');
    else log.info({ reindexed }, 'the list of repositories is that of the bucket');
    const repaired = await repairReferrers(registry, { onDamaged });
    if (repaired.repositories > 0) log.info({ repaired }, 'the referrers are those of the bucket');
  },
});
