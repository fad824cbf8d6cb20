import { SingleBar } from 'cli-progress';
import type { Search } from '../search/search.ts';
import { createMaintenance } from '../compose.ts';
import { assertWritable, type Config } from '../config/config.ts';
import { loadConfigFile } from '../config/file/load.ts';
import { repairReferrers } from '../registry/manifests/repair.ts';
import type { Reindexed } from '../search/search-backend.ts';
import { describeStorage } from '../config/storage.ts';
import { assertFolderExists, count, onDamaged, onlyFile, readOptions, type Command } from './command.ts';

export const command: Command = {
  summary: 'rebuild the list of repositories from the storage',
  usage: `Usage: stowage reindex [FILE]

Rebuilds the list of repositories (SEARCH_BACKEND) and the referrers indexes from the storage.

  FILE  a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH`,
  run: async (args) => {
    const file = onlyFile(readOptions(args, {}).positionals);
    const { config } = await loadConfigFile('maintenance', file);
    await reindex(config);
    return 0;
  },
};

async function reindex(config: Config): Promise<void> {
  const { storage } = config;
  assertWritable(config);
  assertFolderExists(storage);
  const { registry, search } = await createMaintenance(config, onDamaged);
  if (config.search.kind === 'bucket')
    console.log('SEARCH_BACKEND is not set: the bucket itself is the list and needs no reindex');
  else {
    console.log(`comparing the list with the repositories in ${describeStorage(storage)}`);
    await reindexList(search);
  }
  const { repositories, added, removed } = await repairReferrers(registry, { full: true, onDamaged });
  const names = count(repositories, 'repository', 'repositories');
  console.log(`checked the referrers indexes of ${names}: ${added} entries added, ${removed} removed`);
}

async function reindexList(search: Search): Promise<void> {
  const started = performance.now();
  const bar = progressBar();
  try {
    const reindexed = await search.reindex({ onProgress: bar.update });
    bar.stop();
    if (reindexed !== undefined) console.log(summary(reindexed, (performance.now() - started) / 1000));
  } finally {
    bar.stop();
    await search.close();
  }
}

function summary({ names, added, removed }: Reindexed, seconds: number): string {
  const changes = `${added} added, ${removed} removed`;
  return `the list has ${count(names, 'repository', 'repositories')}: ${changes}, in ${seconds.toFixed(1)} s`;
}

/** Shown only on a terminal. */
function progressBar(): { update: (done: number, total: number) => void; stop: () => void } {
  const bar = new SingleBar({
    format: 'changing the list [{bar}] {value}/{total}',
    stream: process.stdout,
    clearOnComplete: true,
    hideCursor: true,
  });
  return {
    update: (done, total) => {
      if (!process.stdout.isTTY || total === 0) return;
      if (!bar.isActive) bar.start(total, done);
      bar.setTotal(total);
      bar.update(done);
    },
    stop: () => {
      bar.stop();
    },
  };
}
