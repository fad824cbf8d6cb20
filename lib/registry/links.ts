import { createHash } from 'node:crypto';
import { parseDigest, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import {
  ObjectNotFound,
  ObjectTooLarge,
  ObjectUnreadable,
  type Fence,
  type NewObject,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
} from '../storage/store.ts';

/** Bytes of a link. It holds a digest as text; the margin allows for line ends in links that were edited by hand. */
const maxLinkSize = 1024;

export interface Link {
  readonly digest: Digest;
  /** Of the link object. */
  readonly etag: string;
}

/** Whether an object exists. An outage is an error, never `false`. */
export async function exists(store: ObjectStore, key: string): Promise<boolean> {
  return (await undefinedIfMissing(store.head(key))) !== undefined;
}

export interface DatedLink extends Link {
  readonly lastModified: Date;
}

/**
 * Reads a link; undefined if there is none.
 * @throws RegistryError UNKNOWN if it is damaged
 */
export async function readLink(store: ObjectStore, key: string): Promise<DatedLink | undefined> {
  try {
    const link = await undefinedIfMissing(store.read(key, maxLinkSize));
    if (link === undefined) return undefined;
    const { bytes, etag, lastModified } = link;
    return { digest: parseDigest(bytes.toString('latin1').trim()), etag, lastModified };
  } catch (error) {
    if (!(error instanceof ObjectTooLarge) && !(error instanceof RegistryError)) throw error;
    const cause = new Error(`the link ${key} holds no digest`, { cause: error });
    throw new RegistryError('UNKNOWN', 'a link in the bucket is damaged', [], { cause });
  }
}

/**
 * Whether the ETag of a link shows that it holds exactly this digest: that of an object which was written in one piece and without KMS
 * is the MD5 of its bytes. Any other proves nothing.
 */
export function showsDigest(
  { etag }: { readonly etag: ObjectInfo['etag'] | undefined },
  digest: string,
): boolean {
  return createHash('md5').update(digest).digest('hex') === etag;
}

/** A link to write. @param fence if something refers to a blob by it */
export function linkObject(key: string, digest: Digest, fence?: Fence): NewObject {
  return { key, bytes: Buffer.from(digest), fence };
}

/** Writes a link. Idempotent. */
export async function writeLink(
  store: ObjectStore,
  key: string,
  digest: Digest,
  options: PutOptions = {},
): Promise<void> {
  await store.put(key, Buffer.from(digest), options);
}

/** The result of a read, or undefined if the object does not exist. */
export async function undefinedIfMissing<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}

/**
 * The result of a read; undefined if the object does not exist, is damaged or cannot be read. Damage is reported to the
 * store's `onDamaged`. For reads of many objects, where one must not hide the others.
 */
export async function undefinedIfDamaged<T>(
  store: ObjectStore,
  key: string,
  read: Promise<T>,
): Promise<T | undefined> {
  try {
    return await undefinedIfMissing(read);
  } catch (error) {
    if (!isDamage(error)) throw error;
    store.onDamaged?.(key, error);
    return undefined;
  }
}

/** Whether an object exists and can be read; see {@link undefinedIfDamaged}. */
export async function existsUndamaged(store: ObjectStore, key: string): Promise<boolean> {
  return (await undefinedIfDamaged(store, key, store.head(key))) !== undefined;
}

/** Whether an error concerns a single object: it was altered, is too large for its kind, or cannot be read. */
export function isDamage(error: unknown): boolean {
  return (
    (error instanceof RegistryError && error.failure === 'UNKNOWN') ||
    error instanceof ObjectTooLarge ||
    error instanceof ObjectUnreadable
  );
}
