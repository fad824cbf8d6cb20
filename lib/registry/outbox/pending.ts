import { mapConcurrently } from '../../concurrency/map-concurrently.ts';
import { ObjectTooLarge, type ObjectInfo, type ObjectStore } from '../../storage/store.ts';
import { damagedIntent, pendingPrefix } from '../layout.ts';
import { isDamage, undefinedIfMissing } from '../links.ts';
import { listObjects } from '../list-objects.ts';
import type { Intent } from './intent.ts';
import { maxIntentSize, parseIntent } from './intent-object.ts';

/** An intent in the bucket. */
export interface PendingIntent {
  readonly key: string;
  /** When it was written. */
  readonly lastModified: Date;
  readonly intent: Intent;
}

/** Intents that are listed. They are in order as far as their keys are: beyond that many, clocks of writers that differ may show. */
export const maxListed = 100_000;

/** Intents that are read at a time, and their bytes. */
const batchSize = 1000;
const batchBytes = 16 * 1024 * 1024;

const parallelReads = 16;

/** The intents in a bucket. */
export class PendingIntents {
  readonly #store: ObjectStore;
  /** Those that were read last, since most that are left are read again: {@link batchBytes} at most. */
  #read = new Map<string, PendingIntent>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * The oldest ones, as they are listed now: in the order in which their events are delivered, by when they were written, then by key;
   * as many at a time as may be in memory. Damaged ones are reported to the store's `onDamaged` and moved aside; those of a later
   * release are reported and left.
   */
  async *list(): AsyncGenerator<readonly PendingIntent[], void> {
    const objects: ObjectInfo[] = [];
    for await (const object of listObjects(this.#store, pendingPrefix)) {
      objects.push(object);
      if (objects.length === maxListed) break;
    }
    objects.sort(byTime);
    // A list that lags names some that are gone.
    const before = this.#store.limits.honoursOnlyIfAbsent ? this.#read : new Map<string, PendingIntent>();
    this.#read = new Map();
    const read = async (object: ObjectInfo) => {
      const known = before.get(object.key);
      const isSame = known?.lastModified.getTime() === object.lastModified.getTime();
      return { size: object.size, one: isSame ? known : await readPending(this.#store, object) };
    };
    let bytes = 0;
    for (let start = 0; start < objects.length;) {
      const batch = firstOf(objects, start);
      start += batch.length;
      const found = await Array.fromAsync(mapConcurrently(batch, parallelReads, read));
      for (const { one, size } of found)
        if (one !== undefined && (bytes += size) <= batchBytes) this.#read.set(one.key, one);
      yield found.flatMap(({ one }) => one ?? []).sort(byTime);
    }
  }
}

/** As many as may be in memory. */
function firstOf(objects: readonly ObjectInfo[], start: number): readonly ObjectInfo[] {
  let bytes = 0;
  const some = objects.slice(start, start + batchSize);
  const end = some.findIndex(({ size }) => (bytes += size) > batchBytes);
  return end < 0 ? some : some.slice(0, Math.max(1, end));
}

type Ordered = Pick<ObjectInfo, 'key' | 'lastModified'>;

function byTime(a: Ordered, b: Ordered): number {
  return a.lastModified.getTime() - b.lastModified.getTime() || (a.key < b.key ? -1 : 1);
}

/** @returns undefined if it is gone or damaged */
async function readPending(store: ObjectStore, object: ObjectInfo): Promise<PendingIntent | undefined> {
  const { key, lastModified } = object;
  try {
    const read = await undefinedIfMissing(store.read(key, maxIntentSize));
    if (read === undefined) return undefined;
    const intent = parseIntent(read.bytes);
    if (intent === 'newer') {
      store.onDamaged?.(key, new Error('a later release has written it; deliver events with that release'));
      return undefined;
    }
    if (intent !== undefined) return { key, lastModified, intent };
    await moveAside(store, object, new Error('it is no intent'));
  } catch (error) {
    if (!isDamage(error)) throw error;
    if (error instanceof ObjectTooLarge) await moveAside(store, object, error);
    else store.onDamaged?.(key, error);
  }
  return undefined;
}

async function moveAside(store: ObjectStore, object: ObjectInfo, reason: Error): Promise<void> {
  const to = damagedIntent(object.key);
  store.onDamaged?.(object.key, new Error(`${reason.message}; moved to ${to}`));
  const move = store.move(object.key, to, object);
  // Another process may have moved it.
  await undefinedIfMissing(move);
  await store.delete([object.key]);
}
