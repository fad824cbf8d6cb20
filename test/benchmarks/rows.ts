import type { OwnRow, RegistryRow } from './row.ts';
import { bucketRequestRows } from './rows/bucket-requests.ts';
import { bytesOn } from './rows/bytes.ts';
import { catalogOn, longCatalogRows } from './rows/catalog.ts';
import { bucketRequestRow, versionRow } from './rows/cpu.ts';
import { limitRows } from './rows/limits.ts';
import { memoryOn } from './rows/memory.ts';
import { requestsOn } from './rows/requests.ts';

/** On a folder, and again with each registry on one core. */
const onFolder = [...bytesOn('folder'), ...requestsOn('folder'), ...catalogOn('folder')];
const onOneCore = onFolder.map(({ name, ...row }): RegistryRow => {
  return { ...row, name: name.replace('folder/', 'folder-one-core/'), oneCore: true, quick: false };
});

/** All rows, in the order of the table. Functions are measured apart: npm run bench:functions. */
export const rows: readonly (RegistryRow | OwnRow)[] = [
  ...onFolder,
  ...onOneCore,
  ...bytesOn('s3'),
  ...requestsOn('s3'),
  ...catalogOn('s3'),
  ...bucketRequestRows,
  ...longCatalogRows,
  versionRow,
  bucketRequestRow,
  ...memoryOn('folder'),
  ...memoryOn('s3'),
  ...limitRows,
];

/** The rows that are asked for. */
export function chosenRows(pattern: RegExp | undefined, quick: boolean): readonly (RegistryRow | OwnRow)[] {
  const chosen = rows.filter(({ name }) => pattern?.test(name) ?? true);
  // A name that is asked for is measured, however long it takes.
  return quick && pattern === undefined ? chosen.filter((row) => row.quick === true) : chosen;
}
