/*
 * `npm run reindex`: makes the list of repositories that of the storage. Settings come from the environment, as for the
 * registry.
 */
import { SingleBar } from 'cli-progress';
import { Search } from '../functions/search-backend.ts';
import { openStore } from '../functions/services.ts';
import { loadConfig, type Config } from '../lib/config.ts';
import { createRegistry } from '../lib/registry/registry.ts';
import type { Reindexed } from '../lib/search/search-backend.ts';
import { describeStorage } from '../lib/storage-config.ts';
import { assertThere, count, runProgram, UsageError } from './program.ts';

const usage = `Usage: npm run reindex

Makes the list of repositories (SEARCH_BACKEND) that of the storage. It takes no arguments.`;

await runProgram('The reindex', async () => {
  const [argument] = process.argv.slice(2);
  if (argument !== undefined)
    throw new UsageError(`no argument is known, and so not ${argument}\n\n${usage}`);
  await reindex(loadConfig('maintenance'));
  return 0;
});

async function reindex({ storage, search: config }: Config): Promise<void> {
  if (config.kind === 'bucket') {
    console.log('SEARCH_BACKEND is not set: the bucket itself is the list, and there is nothing to reindex');
    return;
  }
  assertThere(storage);
  const store = await openStore(storage, { check: false });
  console.log(`comparing the list with the repositories in ${describeStorage(storage)}`);
  const search = new Search(config, createRegistry(store));
  const started = performance.now();
  const bar = progressBar();
  try {
    const reindexed = await search.reindex({ onProgress: bar.tell });
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

/** Shown on a terminal and nowhere else. */
function progressBar(): { tell: (done: number, total: number) => void; stop: () => void } {
  const bar = new SingleBar({
    format: 'changing the list [{bar}] {value}/{total}',
    stream: process.stdout,
    clearOnComplete: true,
    hideCursor: true,
  });
  return {
    tell: (done, total) => {
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
