import type { ObjectStore } from '../storage/store.ts';
import { listObjects } from './list-objects.ts';

/** Objects of one delete. */
const batchSize = 1000;

/** Deletes all objects with a prefix, in the order of keys. */
export async function removeObjects(store: ObjectStore, prefix: string): Promise<void> {
  let keys: string[] = [];
  for await (const { key } of listObjects(store, prefix)) {
    keys.push(key);
    if (keys.length < batchSize) continue;
    await store.delete(keys);
    keys = [];
  }
  if (keys.length > 0) await store.delete(keys);
}
