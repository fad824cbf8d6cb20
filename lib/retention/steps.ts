import { fieldsOf } from '../registry/json-fields.ts';
import { retentionApplied } from '../registry/layout.ts';
import { undefinedIfDamaged } from '../registry/links.ts';
import type { ObjectStore } from '../storage/store.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import { applyRetention, type Applied, type ApplyOptions } from './apply.ts';

const dayMs = 86_400_000;

/** Bytes of the object that says how far it is: of a name, and some more. */
const maxSize = 10_000;

/**
 * Applies the rules once a day, in steps that other processes go on with: what the last one has done is in the bucket. A step that is
 * killed is repeated.
 * @param options with `isOver`, which ends the step
 * @returns undefined if it is not due
 */
export async function stepRetention(options: Omit<ApplyOptions, 'after'>): Promise<Applied | undefined> {
  const { store } = options;
  const last = await readLast(store);
  if (last.isDone && storeTimeMs(store) - last.time < dayMs) return undefined;
  const applied = await applyRetention({ ...options, after: last.after });
  const { stoppedAfter: after } = applied;
  await store.put(retentionApplied, Buffer.from(`${JSON.stringify({ version: 1, after })}\n`));
  return applied;
}

interface LastStep {
  /** Whether it was the last of the day. */
  readonly isDone: boolean;
  /** Milliseconds since 1970 by the clock that dates objects. */
  readonly time: number;
  /** The last repository that is done. */
  readonly after?: string;
}

/** One that is damaged does not count. */
async function readLast(store: ObjectStore): Promise<LastStep> {
  const read = await undefinedIfDamaged(store, retentionApplied, store.read(retentionApplied, maxSize));
  const fields = read && fieldsOf(read.bytes);
  if (fields?.['version'] !== 1) return { isDone: false, time: 0 };
  const { after } = fields;
  const time = read?.lastModified.getTime() ?? 0;
  return typeof after === 'string' ? { isDone: false, time, after } : { isDone: true, time };
}
