import { describeStorage } from '../../config/storage.ts';
import type { AgeOptions } from '../../maintenance/collection/ages.ts';
import { beginCollection } from '../../maintenance/collection/begin.ts';
import type { CollectionOptions } from '../../maintenance/collection/collection.ts';
import type { CollectionReport } from '../../maintenance/collection/report.ts';
import { printVersions, readKeptVersions } from '../kept-versions.ts';
import {
  beginQuotas,
  onUnsaved,
  progressBar,
  saveQuotas,
  type ConfiguredStorage,
  type Looked,
} from '../look.ts';

/**
 * One run of garbage collection on the storage that is configured: all that is due.
 * @param force whether it starts beside another one
 * @throws Error with the reason if nothing can be deleted there
 */
export async function collect(
  opened: ConfiguredStorage,
  ages: AgeOptions & Required<Pick<CollectionOptions, 'youngMs' | 'onlyLinks'>>,
  force: boolean,
): Promise<Looked & { readonly report: CollectionReport }> {
  const { config, store } = opened;
  const { storage, collection: settings } = config;
  const bar = progressBar();
  const options = {
    delayMs: settings.delayMs,
    ...ages,
    onUnsaved,
    onProgress: bar.update,
    alsoSees: async () => {
      const visitor = await beginQuotas(opened);
      if (visitor === undefined) return undefined;
      return {
        visitor,
        finish: async () => {
          await saveQuotas(visitor);
        },
      };
    },
  };
  const { collection, end } = await beginCollection(store, options, { force });
  console.error(
    `collecting ${ages.onlyLinks ? 'links that are garbage' : 'garbage'} in ${describeStorage(storage)}`,
  );
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
    await end();
  }
}
