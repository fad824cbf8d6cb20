import type { NewObject, ObjectInfo, ObjectStore } from '../storage/store.ts';

/** Writes objects, each of which appears after those before it. @returns what describes them, in the same order */
export async function putInOrder(
  store: ObjectStore,
  objects: readonly NewObject[],
): Promise<readonly ObjectInfo[]> {
  if (store.putInOrder !== undefined) return await store.putInOrder(objects);
  const infos: ObjectInfo[] = [];
  for (const object of objects) infos.push(await put(store, object));
  return infos;
}

/** Writes objects that may appear in any order: all at once, unless the store is faster otherwise. */
export async function putAll(store: ObjectStore, objects: readonly NewObject[]): Promise<void> {
  if (store.putInOrder !== undefined) await store.putInOrder(objects);
  else await Promise.all(objects.map(async (object) => await put(store, object)));
}

async function put(store: ObjectStore, { key, bytes, metadata, fence }: NewObject): Promise<ObjectInfo> {
  return await store.put(key, bytes, { ...(metadata && { metadata }), ...(fence && { fence }) });
}
