import { createMaintenance } from '../compose.ts';
import { assertWritable, loadConfig } from '../config/config.ts';
import {
  abandonedAfterMs,
  minAbandonedAfterMs,
  purgeUploads,
  PurgeTotals,
  type PurgeFailure,
  type Purged,
} from '../registry/uploads/purge.ts';
import { describeStorage } from '../config/storage.ts';
import { assertThere, count, onDamaged, readArguments, UsageError, type Command } from './command.ts';

/** Removes uploads that were given up from the storage, and says what it removed. */
export const command: Command = {
  summary: 'remove uploads that were given up from the storage',
  usage: `Usage: stowage purge-uploads [--dry-run] [--older-than AGE]

Removes uploads that nobody has gone on with, and what they left in the storage.

  --dry-run         say what would be removed, and remove nothing
  --older-than AGE  for how long nothing may have come, such as 30d or 72h (default 7d, at least 2d)`,
  run: async (args) => await purge(readOptions(args)),
};

/** Failures that are told of one by one. */
const mostFailures = 100;

/** Milliseconds. */
const units: Readonly<Record<string, number>> = { h: 60 * 60 * 1000, d: 24 * 60 * 60 * 1000 };

interface Options {
  readonly dryRun: boolean;
  /** Milliseconds. */
  readonly age: number;
}

/** @returns the exit code */
async function purge({ dryRun, age }: Options): Promise<number> {
  // Its check writes an object, and the listing soon shows what is wrong.
  const config = loadConfig('maintenance');
  const { storage } = config;
  if (!dryRun) assertWritable(config);
  assertThere(storage);
  const { store } = await createMaintenance(config, onDamaged);
  console.log(`looking for abandoned uploads in ${describeStorage(storage)}`);
  const totals = new PurgeTotals();
  const failures: PurgeFailure[] = [];
  for await (const result of purgeUploads(store, { olderThan: new Date(Date.now() - age), dryRun })) {
    totals.add(result);
    if (result.kind === 'unlisted') console.log(`some multipart uploads cannot be found: ${result.reason}`);
    else if (result.kind !== 'failure')
      console.log(`${dryRun ? 'would remove' : 'removed'} ${describe(result)}`);
    else if (failures.length < mostFailures) failures.push(result);
  }
  console.log(summary(totals, dryRun));
  report(failures, totals.failures);
  return totals.failures === 0 ? 0 : 1;
}

function readOptions(args: readonly string[]): Options {
  const { 'dry-run': dryRun = false, 'older-than': age } = readArguments(args, {
    'dry-run': { type: 'boolean' },
    'older-than': { type: 'string' },
  }).values;
  return { dryRun, age: age === undefined ? abandonedAfterMs : readAge(age) };
}

function readAge(text: string): number {
  const [, number, unit = ''] = /^(\d{1,5})([hd])$/.exec(text) ?? [];
  const age = Number(number) * (units[unit] ?? Number.NaN);
  if (Number.isNaN(age))
    throw new UsageError(`--older-than: ${JSON.stringify(text)} is not an age such as 30d or 72h`);
  if (age < minAbandonedAfterMs)
    throw new UsageError(
      `--older-than: ${text} is too short: a client may go on with an upload for 24 hours after each answer, ` +
        'so the least is 2d',
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
    case 'multipart':
      return `multipart upload of ${removed.key}, started ${removed.started.toISOString()}`;
  }
}

function summary(totals: PurgeTotals, dryRun: boolean): string {
  const { uploads, received, data, multiparts } = totals;
  const parts = [
    ...(uploads === 0 ? [] : [`${count(uploads, 'upload')} (${size(received)})`]),
    ...(data === 0 ? [] : [`${count(data, 'object')} of no session`]),
    ...(multiparts === 0 ? [] : [`${count(multiparts, 'multipart upload')} no session knew`]),
  ];
  if (parts.length === 0) return dryRun ? 'would remove nothing' : 'removed nothing';
  return `${dryRun ? 'would remove' : 'removed'} ${parts.join(', ')}`;
}

function report(failures: readonly PurgeFailure[], total: number): void {
  if (total === 0) return;
  for (const { key, error } of failures)
    console.error(`could not remove ${key}: ${error instanceof Error ? error.message : String(error)}`);
  if (total > failures.length) console.error(`and ${total - failures.length} more`);
  console.error(`${count(total, 'failure')}; the next purge tries them again`);
}

/** In decimal units, as clients show them. */
function size(bytes: number): string {
  const names = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes, 0];
  for (; value >= 1000 && unit < names.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(1)} ${names[unit] ?? ''}`;
}
