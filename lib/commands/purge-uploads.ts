import { createMaintenance } from '../compose.ts';
import { assertWritable } from '../config/config.ts';
import { loadConfigFile } from '../config/file/load.ts';
import {
  abandonedAfterMs,
  minAbandonedAfterMs,
  purgeUploads,
  PurgeTotals,
  type PurgeFailure,
  type Purged,
} from '../registry/uploads/purge.ts';
import { describeStorage } from '../config/storage.ts';
import {
  assertFolderExists,
  count,
  onDamaged,
  onlyFile,
  readOptions,
  refuseOptionsOfNpm,
  UsageError,
  type Command,
} from './command.ts';
import { readAge } from './duration.ts';
import { size } from '../protocol/sizes.ts';

export const command: Command = {
  summary: 'remove abandoned uploads from the storage',
  usage: `Usage: stowage purge-uploads [--dry-run] [--older-than AGE] [FILE]

Removes abandoned uploads and their data from the storage, records of deletes of more than 30 days ago that restore
nothing any more, and records of pulls of more than a year ago.

  --dry-run         print what would be removed, and remove nothing
  --older-than AGE  how long an upload must have been inactive, such as 30d or 72h (default 7d, at least 2d)
  FILE              a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH`,
  run: async (args) => await purge(readPurgeOptions(args)),
};

/** Failures that are printed one by one. */
const maxReportedFailures = 100;

interface Options {
  readonly dryRun: boolean;
  readonly ageMs: number;
  readonly file: string | undefined;
}

/** @returns the exit code */
async function purge({ dryRun, ageMs, file }: Options): Promise<number> {
  const { config } = await loadConfigFile('maintenance', file);
  const { storage } = config;
  if (!dryRun) assertWritable(config);
  assertFolderExists(storage);
  const { store } = await createMaintenance(config, onDamaged);
  console.log(`looking for abandoned uploads in ${describeStorage(storage)}`);
  const totals = new PurgeTotals();
  const failures: PurgeFailure[] = [];
  for await (const result of purgeUploads(store, { olderThan: new Date(Date.now() - ageMs), dryRun })) {
    totals.add(result);
    if (result.kind === 'unlisted') console.log(`some multipart uploads cannot be listed: ${result.reason}`);
    else if (result.kind !== 'failure')
      console.log(`${dryRun ? 'would remove' : 'removed'} ${describe(result)}`);
    else if (failures.length < maxReportedFailures) failures.push(result);
  }
  console.log(summary(totals, dryRun));
  reportFailures(failures, totals.failures);
  return totals.failures === 0 ? 0 : 1;
}

function readPurgeOptions(args: readonly string[]): Options {
  refuseOptionsOfNpm('purge-uploads', ['dry-run'], args);
  const { values, positionals } = readOptions(args, {
    'dry-run': { type: 'boolean' },
    'older-than': { type: 'string' },
  });
  const { 'dry-run': dryRun = false, 'older-than': age } = values;
  return {
    dryRun,
    ageMs: age === undefined ? abandonedAfterMs : readPurgeAge(age),
    file: onlyFile(positionals),
  };
}

function readPurgeAge(text: string): number {
  const age = readAge('older-than', text);
  if (age < minAbandonedAfterMs)
    throw new UsageError(
      `--older-than: ${text} is too short: an upload may be resumed for 24 hours after each response, ` +
        'so the minimum is 2d',
    );
  return age;
}

function describe(removed: Purged): string {
  switch (removed.kind) {
    case 'upload': {
      const { id, repository, received, lastWritten, multipart } = removed;
      const what = repository === undefined ? 'whose session is damaged' : `to ${repository}`;
      const bytes = received === undefined ? '' : `, ${size(received)}`;
      const parts = multipart === undefined ? '' : ', with its multipart upload';
      return `upload ${id} ${what}${bytes}, last written ${lastWritten.toISOString()}${parts}`;
    }
    case 'data':
      return `object ${removed.key}, ${size(removed.size)}, last written ${removed.lastWritten.toISOString()}`;
    case 'record':
      return `record of a delete ${removed.key}, written ${removed.lastWritten.toISOString()}`;
    case 'pull':
      return `record of a pull ${removed.key}, written ${removed.lastWritten.toISOString()}`;
    case 'claim':
      return `claim of a copy ${removed.key}, written ${removed.lastWritten.toISOString()}`;
    case 'multipart':
      return `multipart upload of ${removed.key}, started ${removed.started.toISOString()}`;
  }
}

function summary(totals: PurgeTotals, dryRun: boolean): string {
  const { uploads, received, data, multiparts, records, pulls, claims } = totals;
  const parts = [
    ...(uploads === 0 ? [] : [`${count(uploads, 'upload')} (${size(received)})`]),
    ...(data === 0 ? [] : [`${count(data, 'object')} without a session`]),
    ...(records === 0 ? [] : [`${count(records, 'record')} of deletes`]),
    ...(pulls === 0 ? [] : [`${count(pulls, 'record')} of pulls`]),
    ...(claims === 0 ? [] : [`${count(claims, 'claim')} of copies`]),
    ...(multiparts === 0 ? [] : [`${count(multiparts, 'multipart upload')} without a session`]),
  ];
  if (parts.length === 0) return dryRun ? 'would remove nothing' : 'removed nothing';
  return `${dryRun ? 'would remove' : 'removed'} ${parts.join(', ')}`;
}

function reportFailures(failures: readonly PurgeFailure[], total: number): void {
  if (total === 0) return;
  for (const { key, error } of failures)
    console.error(`could not remove ${key}: ${error instanceof Error ? error.message : String(error)}`);
  if (total > failures.length) console.error(`and ${total - failures.length} more`);
  console.error(`${count(total, 'failure')}; the next purge retries`);
}
