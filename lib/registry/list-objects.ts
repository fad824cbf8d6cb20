import type { ListOptions, ObjectInfo, ObjectStore } from '../storage/store.ts';

/**
 * Every object whose key begins so, in the order of keys, a request for each thousand.
 * @param options only those after a key; whether what cannot be read is passed over
 */
export async function* listObjects(
  store: ObjectStore,
  prefix: string,
  { startAfter = '', skipUnreadable = false }: Pick<ListOptions, 'startAfter' | 'skipUnreadable'> = {},
): AsyncGenerator<ObjectInfo, void> {
  for (let next: string | undefined = startAfter; next !== undefined;) {
    const listing = await store.list({ prefix, startAfter: next, skipUnreadable });
    yield* listing.objects;
    next = listing.next;
  }
}
