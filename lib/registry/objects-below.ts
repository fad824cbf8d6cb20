import type { ObjectInfo, ObjectStore } from '../storage/store.ts';

/**
 * Every object whose key begins so, in the order of keys, a request for each thousand.
 * @param after only those after this key
 */
export async function* objectsBelow(
  store: ObjectStore,
  prefix: string,
  after = '',
): AsyncGenerator<ObjectInfo, void> {
  for (let next: string | undefined = after; next !== undefined;) {
    const listing = await store.list({ prefix, startAfter: next });
    yield* listing.objects;
    next = listing.next;
  }
}
