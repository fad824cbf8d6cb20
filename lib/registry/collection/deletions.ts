import { setTimeout as sleep } from 'node:timers/promises';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { ObjectNotFound, type Fencing, type ObjectInfo, type ObjectStore } from '../../storage/store.ts';
import { deletionsPrefix } from '../layout.ts';
import { isDamage } from '../links.ts';
import { listObjects } from '../list-objects.ts';
import { parseDeletion } from './deletion-record.ts';

/** How long a writer waits for deletions, in milliseconds: shorter than the limit of a gateway. */
export const deletionWaitMs = 10_000;

/** How often it looks whether they are over, in milliseconds. */
const pollMs = 500;

/** Concurrent reads of records. A collection has one for each batch in progress. */
const parallelReads = 8;

/** Bytes of a record, and some margin. */
const maxRecordSize = 4096;

/** The longest time that a client is asked to wait, in seconds. */
const maxRetryAfterSeconds = 60;

/**
 * Waits until no deletion of a digest is under way under some marks. What is there after that is there to stay, if it was rescued
 * before.
 * @param waitMs longest wait
 * @throws RegistryError UNAVAILABLE if it would be longer
 */
export async function awaitDeletions(
  store: ObjectStore,
  fencing: Fencing,
  marks: readonly string[],
  digests: ReadonlySet<Digest>,
  waitMs: number,
): Promise<void> {
  const until = performance.now() + waitMs;
  for (;;) {
    const leftMs = await longestDeletion(store, fencing, marks, digests);
    if (leftMs <= 0) return;
    const waitableMs = until - performance.now();
    if (waitableMs <= 0) throw underWay(leftMs);
    // Its record goes as soon as it is confirmed, which is mostly long before it could land no more.
    await sleep(Math.min(leftMs, waitableMs, pollMs));
  }
}

/** Ends the deletions of some digests. @returns milliseconds until none of them can land any more */
async function longestDeletion(
  store: ObjectStore,
  fencing: Fencing,
  marks: readonly string[],
  digests: ReadonlySet<Digest>,
): Promise<number> {
  const records: ObjectInfo[] = [];
  for (const mark of marks)
    records.push(...(await Array.fromAsync(listObjects(store, deletionsPrefix(mark)))));
  const leftMs = await inParallel(records, parallelReads, async (record) =>
    (await covers(store, record, digests)) ? await fencing.endDeletion(record) : 0,
  );
  return Math.max(0, ...leftMs);
}

/** Whether a deletion may take one of some digests. One whose record is gone is over; a damaged record counts for all. */
async function covers(
  store: ObjectStore,
  { key }: ObjectInfo,
  digests: ReadonlySet<Digest>,
): Promise<boolean> {
  try {
    const range = parseDeletion((await store.read(key, maxRecordSize)).bytes);
    return range === undefined || [...digests].some((digest) => range.from <= digest && digest <= range.to);
  } catch (error) {
    if (error instanceof ObjectNotFound) return false;
    if (isDamage(error)) return true;
    throw error;
  }
}

function underWay(leftMs: number): RegistryError {
  const seconds = Math.min(Math.ceil(leftMs / 1000), maxRetryAfterSeconds);
  return new RegistryError(
    'UNAVAILABLE',
    'a garbage collection is deleting something that this push needs; try again',
    [],
    { headers: { 'Retry-After': String(seconds) } },
  );
}
