import { parseDigest, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import {
  ObjectNotFound,
  ObjectTooLarge,
  ObjectUnreadable,
  type ObjectStore,
  type PutOptions,
} from '../storage/store.ts';

/** A link is a digest in text; distribution's has no line end, but hands have edited buckets. */
const maxLinkSize = 1024;

export interface Link {
  readonly digest: Digest;
  /** Of the link itself. */
  readonly etag: string;
}

/** Whether an object exists. An outage is an error, never a no. */
export async function exists(store: ObjectStore, key: string): Promise<boolean> {
  return (await undefinedIfMissing(store.head(key))) !== undefined;
}

/** What a link points at, or undefined when there is none. */
export async function readLink(store: ObjectStore, key: string): Promise<Link | undefined> {
  const link = await undefinedIfMissing(readSmall(store, key));
  return link && { digest: linkedDigest(link.bytes, key), etag: link.etag };
}

async function readSmall(store: ObjectStore, key: string): ReturnType<ObjectStore['read']> {
  try {
    return await store.read(key, maxLinkSize);
  } catch (error) {
    throw error instanceof ObjectTooLarge ? damaged(key, error) : error;
  }
}

/** Writes a link, or the same link again. */
export async function writeLink(
  store: ObjectStore,
  key: string,
  digest: Digest,
  options: PutOptions = {},
): Promise<void> {
  await store.put(key, Buffer.from(digest), options);
}

/** The result of a read, or undefined when the object does not exist. */
export async function undefinedIfMissing<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}

/**
 * The result of a read of one of many objects, which is not to hide the others: undefined where it does not exist, and where
 * it is damaged or cannot be read, which the store's `onDamaged` is told.
 */
export async function undefinedIfDamaged<T>(
  store: ObjectStore,
  key: string,
  reading: Promise<T>,
): Promise<T | undefined> {
  try {
    return await undefinedIfMissing(reading);
  } catch (error) {
    if (!isDamage(error)) throw error;
    store.onDamaged?.(key, error);
    return undefined;
  }
}

/** The same of whether an object exists. */
export async function existsUndamaged(store: ObjectStore, key: string): Promise<boolean> {
  return (await undefinedIfDamaged(store, key, store.head(key))) !== undefined;
}

/** Whether an error is about one object alone: it was altered, is larger than any of its kind, or cannot be read. */
export function isDamage(error: unknown): boolean {
  return (
    (error instanceof RegistryError && error.failure === 'UNKNOWN') ||
    error instanceof ObjectTooLarge ||
    error instanceof ObjectUnreadable
  );
}

function linkedDigest(bytes: Buffer, key: string): Digest {
  try {
    return parseDigest(bytes.toString('latin1').trim());
  } catch (cause) {
    throw damaged(key, cause);
  }
}

function damaged(key: string, cause: unknown): RegistryError {
  const error = new Error(`the link ${key} holds no digest`, { cause });
  return new RegistryError('UNKNOWN', 'a link in the bucket is damaged', [], { cause: error });
}
