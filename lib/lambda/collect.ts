import type { Logger } from 'pino';
import type { CollectionConfig } from '../config/collection.ts';
import { AlreadyActive } from '../maintenance/collection/activity.ts';
import { usualYoungMs } from '../maintenance/collection/ages.ts';
import { beginCollection, type BegunCollection } from '../maintenance/collection/begin.ts';
import type { Collection, CollectionOptions } from '../maintenance/collection/collection.ts';
import { DeletionsRefused } from '../maintenance/collection/refusal.ts';
import { summaryOf } from '../maintenance/collection/report.ts';
import type { ObjectStore } from '../storage/store.ts';
import { followRules, type Followed, type JobRegistry } from './follow-rules.ts';

/** Milliseconds of an invocation after which it begins nothing more. Lambda ends it after 15 minutes. */
const budgetMs = 9 * 60_000;

/** Damaged repositories, and reasons for each, that are logged. */
const maxLogged = 10;

/**
 * Does what is due of retention and of garbage collection, for some minutes: the next invocation goes on. That nothing can be deleted,
 * or that another collection is active, is a warning.
 * @throws Error if a repository is damaged, or the rules for retention could not be followed
 */
export async function collect(
  job: JobRegistry,
  settings: Pick<CollectionConfig, 'delayMs' | 'deleteUntagged'>,
  log: Logger,
): Promise<void> {
  const end = performance.now() + budgetMs;
  const leftMs = () => Math.max(0, end - performance.now());
  // Half of the time is left for the collection.
  const { failure, ...byRules } = await followRules(job, () => leftMs() < budgetMs / 2, log);
  await collectGarbage(job.store, { ...settings, ...byRules, leftMs }, log);
  if (failure !== undefined) throw failure;
}

interface GarbageOptions
  extends Pick<CollectionConfig, 'delayMs' | 'deleteUntagged'>, Pick<Followed, 'untagged' | 'alsoSees'> {
  readonly leftMs: () => number;
}

async function collectGarbage(
  store: ObjectStore,
  { delayMs, deleteUntagged, untagged, alsoSees, leftMs }: GarbageOptions,
  log: Logger,
): Promise<void> {
  const begun = await begin(store, log, {
    delayMs,
    youngMs: usualYoungMs,
    ...(deleteUntagged ? { untagged: () => usualYoungMs } : untagged),
    alsoSees,
    stepBudget: () => ({ budgetMs: leftMs() }),
    onUnsaved: (error) => {
      log.warn({ err: error }, 'what manifests name cannot be kept, so the next look reads them again');
    },
  });
  if (begun === undefined) return;
  const { collection } = begun;
  try {
    let isDone = false;
    while (!isDone && leftMs() > 0) isDone = !(await collection.step());
    report(collection, isDone, log);
  } finally {
    await begun.end();
  }
}

/** @returns undefined if it is not to run */
async function begin(
  store: ObjectStore,
  log: Logger,
  options: CollectionOptions,
): Promise<BegunCollection | undefined> {
  try {
    return await beginCollection(store, options);
  } catch (error) {
    if (error instanceof DeletionsRefused) log.warn(`gc does not run: ${error.message}`);
    else if (error instanceof AlreadyActive)
      log.warn(`gc does not run: another collection was active ${error.secondsAgo} s ago`);
    else throw error;
    return undefined;
  }
}

/** Logs what was condemned, deleted and left, and when something is due next. */
function report({ report }: Collection, isDone: boolean, log: Logger): void {
  const { total, freed, young, damaged } = report.garbage ?? {};
  const found = total && { total, freed, young, damaged: damaged?.length };
  log.info(
    { ...summaryOf(report), ...(found && { found }) },
    isDone
      ? 'all garbage collection that was due is done'
      : 'the next invocation goes on with garbage collection',
  );
  if (damaged === undefined || damaged.length === 0) return;
  for (const { name, reasons } of damaged.slice(0, maxLogged))
    log.error(
      { repository: name, reasons: reasons.slice(0, maxLogged) },
      'damaged, so nothing of it is deleted',
    );
  throw new Error(`${damaged.length} repositories are damaged, so nothing of them is deleted`);
}
