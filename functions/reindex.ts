import { createRegistry } from '../lib/registry/registry.ts';
import { scheduled } from './scheduled.ts';
import { Search } from './search-backend.ts';
import { openStore } from './services.ts';

/** Makes the list of repositories that of the bucket. */
export const handler = scheduled({
  name: 'reindex',
  start: async ({ storage, search }) =>
    new Search(search, createRegistry(await openStore(storage, { check: false }))),
  run: async (search, log) => {
    const reindexed = await search.reindex();
    if (reindexed === undefined) log.info('the bucket is the list: there is nothing to reindex');
    else log.info({ reindexed }, 'the list of repositories is that of the bucket');
  },
});
