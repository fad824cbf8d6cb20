import type { NewObject, ObjectStore } from '../../lib/storage/store.ts';
import { intercepted } from '../registry/interrupted.ts';

/** An object that was written. */
export interface WrittenObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

/** Methods of a store that write, as far as copies use them. */
const writes = ['put', 'putInOrder', 'move', 'concatenate', 'completeMultipart'];

/** A store that notes what is written to it. */
export function written(store: ObjectStore): { store: ObjectStore; objects: () => readonly WrittenObject[] } {
  const objects: WrittenObject[] = [];
  const noting = intercepted(store, (method, args) => {
    if (method === 'putInOrder')
      for (const { key, bytes } of args[0] as NewObject[]) objects.push({ key, size: bytes.byteLength });
    else if (writes.includes(method))
      objects.push({ key: String(args[0]), size: args[1] instanceof Uint8Array ? args[1].byteLength : NaN });
  });
  return { store: noting, objects: () => objects };
}

/** A store that is gone before its write number `at` from 0, and stays so: to the bucket, each kill between reads is one of these. */
export function killed(store: ObjectStore, at: number): { store: ObjectStore; happened: () => boolean } {
  let count = 0;
  const dying = intercepted(store, (method) => {
    if (writes.includes(method)) count += 1;
    if (count > at) throw new Error('killed');
  });
  return { store: dying, happened: () => count > at };
}

/** A store that does something else, once, before its write number `at` from 0. */
export function besideWrite(
  store: ObjectStore,
  at: number,
  other: () => Promise<unknown>,
): { store: ObjectStore; happened: () => boolean } {
  let count = 0;
  const between = intercepted(store, async (method) => {
    if (writes.includes(method) && count++ === at) await other();
  });
  return { store: between, happened: () => count > at };
}
