import { createMaintenance } from '../../compose.ts';
import { assertWritable, type Config } from '../../config/config.ts';
import { describeStorage } from '../../config/storage.ts';
import { Activity } from '../../maintenance/collection/activity.ts';
import type { AgeOptions } from '../../maintenance/collection/ages.ts';
import { Collection, type CollectionReport } from '../../maintenance/collection/collection.ts';
import { fencingOf } from '../../maintenance/collection/refusal.ts';
import { assertFolderExists, onDamaged } from '../command.ts';
import { printVersions, readKeptVersions } from '../kept-versions.ts';
import { onUnsaved, progressBar, type Looked } from '../look.ts';

/**
 * One run of garbage collection on the storage that is configured: all that is due.
 * @param force whether it starts beside another one
 * @throws Error with the reason if nothing can be deleted there
 */
export async function collect(
  config: Config,
  { youngMs, untagged }: AgeOptions & { readonly youngMs: number },
  force: boolean,
): Promise<Looked & { readonly report: CollectionReport }> {
  const { storage, collection: settings } = config;
  assertWritable(config);
  assertFolderExists(storage);
  const { store } = await createMaintenance(config, onDamaged, { check: true });
  const fencing = await fencingOf(store);
  const activity = await Activity.begin(store, force);
  console.error(`collecting garbage in ${describeStorage(storage)}`);
  const bar = progressBar();
  const collection = new Collection(store, fencing, {
    delayMs: settings.delayMs,
    youngMs,
    ...(untagged && { untagged }),
    onUnsaved,
    onProgress: bar.update,
  });
  try {
    while (await collection.step());
    const versions = await readKeptVersions(store, (listed) => {
      bar.update({ phase: 'versions', listed });
    });
    return {
      report: collection.report,
      versions,
      printVersions: () => {
        printVersions(versions, storage);
      },
    };
  } finally {
    bar.stop();
    await activity.end();
  }
}
