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

export interface Pending {
  /** In the order in which their events are delivered: by when they were written, then by key. */
  readonly intents: readonly PendingIntent[];
  /** How many there are in all; at most {@link maxListed}. */
  readonly count: number;
}

/** Intents that are listed. They are in order as far as their keys are: beyond that many, clocks of writers that differ may show. */
export const maxListed = 100_000;

/** Intents that are read at a time, and their bytes. */
const batchSize = 1000;
const batchBytes = 16 * 1024 * 1024;

const parallelReads = 16;

/**
 * The oldest intents of writes. Damaged ones are reported to the store's `onDamaged` and moved aside; those of a later release are reported
 * and left.
 */
export async function listPending(store: ObjectStore): Promise<Pending> {
  const objects: ObjectInfo[] = [];
  for await (const object of listObjects(store, pendingPrefix)) {
    objects.push(object);
    if (objects.length === maxListed) break;
  }
  objects.sort(byTime);
  const reads = mapConcurrently(
    firstOf(objects),
    parallelReads,
    async (object) => await readPending(store, object),
  );
  const read = await Array.fromAsync(reads);
  return { intents: read.filter((one) => one !== undefined).sort(byTime), count: objects.length };
}

/** As many as may be in memory. */
function firstOf(objects: readonly ObjectInfo[]): readonly ObjectInfo[] {
  let bytes = 0;
  const end = objects.slice(0, batchSize).findIndex(({ size }) => (bytes += size) > batchBytes);
  return objects.slice(0, end < 0 ? batchSize : Math.max(1, end));
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
