import type { ListOptions, ObjectInfo, ObjectStore } from '../storage/store.ts';

/** All objects with a prefix, in key order; one request per thousand. */
export async function* listObjects(
  store: ObjectStore,
  prefix: string,
  options: Pick<ListOptions, 'startAfter' | 'skipUnreadable'> = {},
): AsyncGenerator<ObjectInfo, void> {
  for (let next: string | undefined = options.startAfter ?? ''; next !== undefined;) {
    const listing = await store.list({ ...options, prefix, startAfter: next });
    yield* listing.objects;
    next = listing.next;
  }
}
