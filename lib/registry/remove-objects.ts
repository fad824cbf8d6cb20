import type { ObjectStore, PutOptions } from '../storage/store.ts';
import { listObjects } from './list-objects.ts';

/** Objects of one delete. */
const batchSize = 1000;

/** Deletes all objects with a prefix, in the order of keys. */
export async function removeObjects(store: ObjectStore, prefix: string): Promise<void> {
  await removeKeys(store, keysBelow(store, prefix));
}

/** Deletes any number of objects, some at a time, in their order. */
export async function removeKeys(
  store: ObjectStore,
  keys: AsyncIterable<string> | Iterable<string>,
  options?: Pick<PutOptions, 'transient'>,
): Promise<void> {
  let batch: string[] = [];
  for await (const key of keys) {
    batch.push(key);
    if (batch.length < batchSize) continue;
    await store.delete(batch, options);
    batch = [];
  }
  if (batch.length > 0) await store.delete(batch, options);
}

async function* keysBelow(store: ObjectStore, prefix: string): AsyncGenerator<string, void> {
  for await (const { key } of listObjects(store, prefix)) yield key;
}
