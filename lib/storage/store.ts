import type { Readable } from 'node:stream';

/**
 * What the registry needs of a bucket, and no more: the common ground of S3, SCS and a local folder.
 *
 * A store cannot be assumed to rename, append or lock. Writes are whole objects and appear atomically:
 * a reader sees the old object, the new one or none, never a part of one. What a store can do beyond
 * that is said in {@link StoreLimits}.
 *
 * Keys are Unicode strings of 1 to 1024 UTF-8 bytes without a leading slash, empty segments, `.` and `..`
 * segments or NUL; a key outside that is an {@link InvalidKey}. A key may not be the folder of another.
 *
 * Every method rejects with {@link StoreUnavailable} when the store could not answer. That an object does
 * not exist is only ever said by {@link ObjectNotFound}, so an outage never looks like a missing image.
 */
export interface ObjectStore extends ObjectReader, ObjectWriter, ObjectLister, MultipartWriter {
  readonly limits: StoreLimits;
  /** Milliseconds that the clock which dates objects is ahead of this machine's, as far as answers have told. */
  readonly clockOffsetMs?: number;
  /** Is told of what those pass over that walk many objects. Set by who opens the store. */
  onDamaged?: OnDamaged;
}

/**
 * An object, or a folder of some, that is damaged or cannot be read, and does not keep others from being read.
 * @param key of the object, or the beginning of keys
 */
export type OnDamaged = (key: string, error: unknown) => void;

export interface StoreLimits {
  /** Smallest size in bytes of every part of a multipart upload but the last. */
  readonly minPartSize: number;
  /** Size in bytes a part should have, unless the object needs larger ones to stay within `maxParts`. */
  readonly partSize: number;
  /** Largest size in bytes of a part. */
  readonly maxPartSize: number;
  /** Most parts a multipart upload may have. */
  readonly maxParts: number;
  /** How many parts of one upload should be on their way at once. */
  readonly parallelParts: number;
  /** Whether all parts of an upload but the last must have the same size. */
  readonly equalParts: boolean;
  /** Whether a part that is written again replaces the earlier one; otherwise both stand, told apart by their ETags. */
  readonly replacesParts: boolean;
  /** Whether {@link PutOptions.onlyIfAbsent} and {@link PutOptions.ifMatch} are honoured; otherwise they are ignored. */
  readonly conditionalWrites: boolean;
}

export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly lastModified: Date;
  /** Opaque; differs whenever the content does. Without quotes. */
  readonly etag: string;
}

/** What a read of one object tells beside its bytes. */
export interface ObjectHead extends ObjectInfo {
  /**
   * What was given to {@link ObjectWriter.put}, names in lower case. A hint: it may be missing, because the store keeps
   * none or another program wrote the object, but it is never that of another content.
   */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes `start` to `end`, both inclusive and counted from 0; `end` beyond the object means its last byte. */
export interface ByteRange {
  readonly start: number;
  readonly end?: number;
}

export interface ObjectReader {
  /** @throws ObjectNotFound */
  head(key: string): Promise<ObjectHead>;

  /**
   * Opens an object for streaming. The caller must read the stream to its end or destroy it. `size` is that of the
   * whole object; a stream that ends early ends with an error.
   * @throws ObjectNotFound
   * @throws RangeNotSatisfiable when `range.start` is at or beyond the end (so for every range of an empty object)
   */
  open(key: string, range?: ByteRange): Promise<ObjectHead & { readonly body: Readable }>;

  /**
   * Reads a small object whole.
   * @throws ObjectNotFound
   * @throws ObjectTooLarge when it has more than `limit` bytes; nothing is read then
   */
  read(key: string, limit: number): Promise<ObjectHead & { readonly bytes: Buffer }>;

  /**
   * A URL anyone can GET the object at until it expires, or undefined when the store cannot make one.
   * @param expiresIn seconds
   */
  signedUrl(key: string, expiresIn: number): Promise<URL | undefined>;
}

export interface PutOptions {
  /** Names `[a-z0-9-]+`, values printable ASCII, 2 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Write only if no object has this key. Honoured with `limits.conditionalWrites`. */
  readonly onlyIfAbsent?: boolean;
  /** Write only if the object still has this ETag. Honoured with `limits.conditionalWrites`. */
  readonly ifMatch?: string;
}

/** What `head` or `completeMultipart` said of an object. */
export interface MoveSource extends Pick<ObjectInfo, 'size' | 'etag'> {
  /** The parts it was made of, where known. */
  readonly parts?: readonly UploadedPart[];
}

/** Bytes from the start of an object, cut into parts. */
export interface Piece {
  readonly key: string;
  /** Bytes of each part, one after another. */
  readonly sizes: readonly number[];
}

export interface ConcatenateOptions extends Pick<PutOptions, 'metadata'> {
  /** Bytes that follow the pieces. */
  readonly tail: Uint8Array;
}

export interface ObjectWriter {
  /**
   * Writes an object whole, replacing what was there; durable when it resolves.
   * @throws PreconditionFailed when a condition was given, is honoured, and does not hold
   */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<ObjectInfo>;

  /**
   * Moves an object with its metadata, replacing what was at `to`, which only ever appears whole. A store that cannot
   * rename copies, and leaves `from` to the caller to delete, together with what else it deletes then. Moving a key to
   * itself changes nothing.
   * @param source what is known of `from`: a store that copies needs its size, and makes sure that it copies just this
   * @throws ObjectNotFound when `from` does not exist, as when an earlier call has moved it already
   * @throws PreconditionFailed when `source.etag` is given and is not that of `from`
   */
  move(from: string, to: string, source?: MoveSource): Promise<void>;

  /**
   * Makes an object of others, one after another, which stay. It only ever appears whole. Their parts are such as those of a
   * multipart upload must be: only the last may be small.
   * @returns false, with nothing done, where the store cannot do it by itself
   * @throws ObjectNotFound when a piece does not exist
   */
  concatenate(to: string, pieces: readonly Piece[], options: ConcatenateOptions): Promise<boolean>;

  /** Deletes objects, any number. Keys that do not exist are no error. */
  delete(keys: readonly string[]): Promise<void>;
}

export interface ListOptions {
  /** Keys must start with this; any string, it need not end at a slash. Default: all keys. */
  readonly prefix?: string;
  /**
   * A string of any length. Keys that contain it after the prefix are rolled up: they are returned as one of `prefixes`,
   * which ends with the first occurrence of the delimiter.
   */
  readonly delimiter?: string;
  /**
   * Only keys after this one in byte order. A rolled-up prefix is returned when one of the keys it stands for comes
   * after it, except the prefix that `startAfter` itself starts with: that one counts as listed.
   */
  readonly startAfter?: string;
  /** Most entries (objects and prefixes together) to return, from 1. Default and maximum: 1000. */
  readonly limit?: number;
  /**
   * Whether folders are passed over, and {@link ObjectStore.onDamaged} told, that cannot be read, below the one the prefix
   * names. Otherwise the listing fails. For who shows what is there; never for who removes what is not listed.
   */
  readonly skipUnreadable?: boolean;
}

export interface Listing {
  /** In byte order of their UTF-8 keys. */
  readonly objects: readonly ObjectInfo[];
  /** Rolled-up prefixes in byte order, none twice. */
  readonly prefixes: readonly string[];
  /**
   * Give it as `startAfter` for what follows; undefined when this was the last of it. On some servers nothing follows a full
   * page that ends with a rolled-up prefix, and it is told all the same.
   */
  readonly next: string | undefined;
}

export interface ObjectLister {
  /**
   * One page of keys in byte order. A prefix under which nothing lies is an empty listing.
   * A listing may lag behind writes on some stores: no push or pull may depend on one.
   */
  list(options: ListOptions): Promise<Listing>;
}

export interface UploadedPart {
  /** From 1 to `limits.maxParts`. */
  readonly number: number;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
}

/** An upload in progress, as a sweep finds it. */
export interface MultipartUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly started: Date;
}

export interface MultipartWriter {
  /** Begins a multipart upload, which any process may continue by its id. Nothing is visible under the key. */
  createMultipart(key: string, options?: Pick<PutOptions, 'metadata'>): Promise<string>;

  /**
   * Writes one part; durable when it resolves. Parts may be written in any order, several at a time, and again: see
   * `limits.replacesParts`.
   * @throws MultipartNotFound when the upload was completed or aborted, or never was
   */
  uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart>;

  /**
   * Makes the object of exactly these parts, in this order, at least one; atomically replaces what was there.
   * @throws MultipartNotFound when the upload is gone; it may have been completed by a call whose answer was lost
   * @throws InvalidPart when a part is not there, is not the one with that ETag, is out of order, or is below
   *   `limits.minPartSize` without being the last. The upload stays as it was.
   */
  completeMultipart(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<ObjectInfo>;

  /** Throws away an upload and its parts. One that is gone is no error. */
  abortMultipart(key: string, uploadId: string): Promise<void>;

  /** Uploads in progress whose key starts with the prefix, in no order. */
  listMultiparts(prefix: string): AsyncIterable<MultipartUpload>;

  /** Why the last of these lists may not have had all, in words; undefined where they have. */
  readonly unlistedMultiparts?: string | undefined;
}

/** Any error of a store; `key` says of which object. */
export class StoreError extends Error {
  override readonly name: string = 'StoreError';
  readonly key: string;
  constructor(key: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.key = key;
  }
}

export class ObjectNotFound extends StoreError {
  override readonly name = 'ObjectNotFound';
  constructor(key: string, options?: ErrorOptions) {
    super(key, `no object ${key}`, options);
  }
}

export class ObjectTooLarge extends StoreError {
  override readonly name = 'ObjectTooLarge';
  constructor(key: string, size: number, limit: number) {
    super(key, `object ${key} has ${size} bytes, more than the ${limit} expected`);
  }
}

export class RangeNotSatisfiable extends StoreError {
  override readonly name = 'RangeNotSatisfiable';
  /** Bytes of the whole object. */
  readonly size: number;
  constructor(key: string, size: number) {
    super(key, `object ${key} has only ${size} bytes`);
    this.size = size;
  }
}

export class PreconditionFailed extends StoreError {
  override readonly name = 'PreconditionFailed';
  constructor(key: string, options?: ErrorOptions) {
    super(key, `object ${key} was changed by another writer`, options);
  }
}

export class MultipartNotFound extends StoreError {
  override readonly name = 'MultipartNotFound';
  constructor(key: string, options?: ErrorOptions) {
    super(key, `no such multipart upload of ${key}`, options);
  }
}

export class InvalidPart extends StoreError {
  override readonly name = 'InvalidPart';
}

export class InvalidKey extends StoreError {
  override readonly name = 'InvalidKey';
}

/** The store could not be reached, refused us, or failed; the cause says which. Worth another try. */
export class StoreUnavailable extends StoreError {
  override readonly name: string = 'StoreUnavailable';
}

/** The same of this object alone, as far as can be told: others may be read. */
export class ObjectUnreadable extends StoreUnavailable {
  override readonly name = 'ObjectUnreadable';
}

/** Order of two keys by their UTF-8 bytes, as listings have it. */
export function compareKeys(a: string, b: string): number {
  // UTF-16 order equals UTF-8 order unless surrogates are involved.
  return /[\ud800-\udfff]/.test(a + b)
    ? Buffer.compare(Buffer.from(a), Buffer.from(b))
    : a < b
      ? -1
      : a > b
        ? 1
        : 0;
}

/** Whether keys may begin so: the folders it names are ones that a key may have. */
export function isValidPrefix(prefix: string): boolean {
  const folders = prefix.split('/').slice(0, -1);
  return folders.every((folder) => !isNoSegment(folder));
}

function isNoSegment(text: string): boolean {
  return text === '' || text === '.' || text === '..';
}

/** @throws InvalidKey saying which rule of {@link ObjectStore} a key breaks */
export function assertKey(key: string): void {
  const fault =
    key === '' || Buffer.byteLength(key) > 1024
      ? 'must have 1 to 1024 bytes'
      : !key.isWellFormed()
        ? 'must be well-formed Unicode'
        : key.includes('\0')
          ? 'must not contain NUL'
          : key.split('/').some(isNoSegment)
            ? 'must not have empty, "." or ".." segments'
            : undefined;
  if (fault !== undefined) throw new InvalidKey(key, `object key ${JSON.stringify(key)} ${fault}`);
}
