import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as lowMemory from '../../../lib/commands/low-memory.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { cleanEnvironment, command } from '../../servers/process.ts';
import { buckets, settingsOf } from '../place.ts';
import type { LoadResult } from '../generator.ts';
import type { OwnRow, RegistryRow } from '../row.ts';

/** What a request costs that needs no storage. */
export const versionRow: RegistryRow = {
  name: 'folder/cpu-version',
  title: () => 'CPU of GET /v2/',
  unit: 'µs',
  more: false,
  goal: { most: 60 },
  quick: true,
  store: 'folder',
  prepare: async (registry, { seconds, warmUp }) =>
    await Promise.resolve(async () => {
      const flags = { path: '/v2/', seconds, 'warm-up': warmUp };
      const { serverCpu, count } = await registry.load<LoadResult>('requests', flags);
      return { value: (serverCpu * 1e6) / count };
    }),
};

/** What a request to the bucket costs the registry. */
export const bucketRequestRow: OwnRow = {
  name: 's3/cpu-bucket-request',
  title: () => 'CPU of one bucket request: GET of a small object',
  unit: 'µs',
  more: false,
  goal: { most: 150 },
  quick: true,
  measure: async ({ checkout, sizes: { seconds } }) => {
    const folder = await temporaryFolder('bench-bucket');
    const places = await buckets(folder.path, false);
    try {
      const place = await places.newPlace('images');
      // As the server has them.
      const { memoryFlags, memoryEnvironment } = (await import(
        pathToFileURL(join(checkout, 'lib/commands/low-memory.ts')).href
      )) as typeof lowMemory;
      const program = join(import.meta.dirname, '../bucket-request.ts');
      const { text } = await command(
        process.execPath,
        [...memoryFlags, program, checkout, String(Math.round(seconds * 2000))],
        { env: cleanEnvironment({ ...memoryEnvironment, ...settingsOf(place) }) },
      );
      return { value: Number(text) };
    } finally {
      await places.stop();
      folder.remove();
    }
  },
};
