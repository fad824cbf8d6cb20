import type { Readable } from 'node:stream';

/**
 * What the registry needs of a bucket: what S3, SCS and a local folder have in common.
 *
 * A store need not support rename, append or locks. It writes whole objects, which appear atomically: a reader sees the
 * old object, the new one or none, never a partial one. {@link StoreLimits} describes what else a store supports.
 *
 * Keys are Unicode strings of 1 to 1024 UTF-8 bytes without a leading slash, empty segments, `.` and `..`
 * segments or NUL; any other key is an {@link InvalidKey}. A key may not be the folder of another.
 *
 * Every method rejects with {@link StoreUnavailable} if the store fails. Only {@link ObjectNotFound} means that an object
 * does not exist, so an outage never looks like a missing image.
 */
export interface ObjectStore extends ObjectReader, ObjectWriter, ObjectLister, MultipartWriter {
  readonly limits: StoreLimits;
  /** Milliseconds that the clock which dates objects is ahead of this machine's, as far as known. */
  readonly clockOffsetMs?: number;
  /** Called for each damaged object that a walk over many objects skips. Set by whoever opens the store. */
  onDamaged?: OnDamaged;
  /** Whether what is deleted stays as a version and takes space; undefined if the store does not tell. */
  keepsVersions?(): Promise<boolean | undefined>;
  /**
   * Counts what deletes and overwrites have left as versions: one request for each thousand versions, current ones too.
   * @param onPage is told how many versions were listed so far
   */
  noncurrentVersions?(prefix: string, onPage?: (listed: number) => void): Promise<NoncurrentVersions>;
  /**
   * Removes empty folders whose paths begin with a prefix: distribution leaves some, and takes them for repositories and tags. Only a
   * folder has it.
   * @returns whether there were any
   */
  removeEmptyFolders?(prefix: string): Promise<boolean>;
  /** Only stores that can refuse late changes have it. */
  readonly fencing?: Fencing;
}

/** What takes space in a bucket with versions beside the objects that listings show. */
export interface NoncurrentVersions {
  /** Versions of objects that were deleted or written again. */
  readonly versions: number;
  readonly bytes: number;
  /** What a delete writes in the place of an object. They have no bytes. */
  readonly deleteMarkers: number;
}

/**
 * Limits when a change to the bucket can land, however long the process that sends it is stopped: the store itself refuses a change
 * whose fence has ended, with {@link FenceEnded}. See docs/garbage-collection.md, "Changes that can land only for a while".
 */
export interface Fencing {
  /** How long a fence for commits lasts, in milliseconds; undefined if until it is ended. */
  readonly lifetimeMs?: number;

  /**
   * Opens a fence for commits, and lists the objects with a prefix, of which there must be few: what is listed is not older than the
   * fence.
   */
  open(prefix: string): Promise<{ readonly fence: Fence; readonly objects: readonly ObjectInfo[] }>;

  /** Ends all fences for commits that were opened before. @returns milliseconds until none of their commits can land any more */
  end(): Promise<number>;

  /**
   * Writes the record of a deletion, and opens the fence of its deletes.
   * @param record with a key that no deletion has had, also in its last segment
   */
  openDeletion(record: Pick<NewObject, 'key' | 'bytes'>): Promise<Fence>;

  /**
   * Ends the fence of a deletion, in any process. The record itself stays.
   * @returns milliseconds until none of its deletes can land any more
   */
  endDeletion(record: Pick<ObjectInfo, 'key' | 'lastModified'>): Promise<number>;

  /** Why this bucket does not enforce fences, as a sentence for the operator; undefined if it does. Tries it, and leaves nothing. */
  refusal(): Promise<string | undefined>;
}

/** Made by {@link Fencing}; belongs to its store. */
export interface Fence {
  /** By the clock that dates objects. */
  readonly opened: Date;
}

/**
 * Reports an object or folder that is damaged or unreadable and is skipped.
 * @param key of the object, or a key prefix
 */
export type OnDamaged = (key: string, error: unknown) => void;

export interface StoreLimits {
  /** Smallest part of a multipart upload in bytes, except for the last part. */
  readonly minPartSize: number;
  /** Recommended part size in bytes; larger if the object would need more than `maxParts`. */
  readonly partSize: number;
  /** Largest part in bytes. */
  readonly maxPartSize: number;
  /** Most parts of a multipart upload. */
  readonly maxParts: number;
  /** Recommended number of concurrent part uploads. */
  readonly parallelParts: number;
  /** Whether all parts of an upload but the last must have the same size. */
  readonly equalParts: boolean;
  /** Whether a part that is written again replaces the earlier one; otherwise both exist and differ in their ETags. */
  readonly replacesParts: boolean;
  /** Whether {@link PutOptions.onlyIfAbsent} is honoured, also among concurrent writers; otherwise it is ignored. */
  readonly honoursOnlyIfAbsent: boolean;
  /** Whether {@link PutOptions.ifMatch} is honoured; otherwise it is ignored. */
  readonly honoursIfMatch: boolean;
}

/** S3's limits, which all stores apply: SCS documents only the smallest part, and what works in a folder must work on S3. */
export const s3Limits = {
  minPartSize: 5 * 1024 ** 2,
  maxPartSize: 5 * 1024 ** 3,
  maxParts: 10_000,
};

export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly lastModified: Date;
  /** Opaque; differs whenever the content does. Without quotes. */
  readonly etag: string;
}

export interface ObjectHead extends ObjectInfo {
  /**
   * The metadata given to {@link ObjectWriter.put}, names in lower case. A hint: it may be missing if the store keeps none
   * or another program wrote the object, but it never belongs to other content.
   */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface HeadOptions {
  /** Whether the metadata are needed. Without it a store that keeps them elsewhere, such as a folder, leaves them out. */
  readonly metadata?: boolean;
}

/** Bytes `start` to `end`, both inclusive and counted from 0; `end` beyond the object means its last byte. */
export interface ByteRange {
  readonly start: number;
  readonly end?: number;
}

/** An object, or a range of one, whose bytes can be read. */
export interface OpenedObject extends ObjectInfo {
  readonly body: Readable;
  /** All that `body` gives, where the store has read a small object whole. Then nobody need touch `body`. */
  readonly bytes?: Buffer;
}

export interface ObjectReader {
  /** @throws ObjectNotFound */
  head(key: string, options?: HeadOptions): Promise<ObjectHead>;

  /**
   * Opens an object for streaming. The caller must read the stream to its end or destroy it; a stream that ends early ends
   * with an error. `size` is the size of the whole object.
   * @param size if it is known: a store may read small objects in another way
   * @throws ObjectNotFound
   * @throws RangeNotSatisfiable if `range.start` is at or beyond the end, as for every range of an empty object
   */
  open(key: string, range?: ByteRange, size?: number): Promise<OpenedObject>;

  /**
   * Reads a small object into memory.
   * @throws ObjectNotFound
   * @throws ObjectTooLarge if it has more than `limit` bytes; then nothing is read
   */
  read(key: string, limit: number): Promise<ObjectInfo & { readonly bytes: Buffer }>;

  /**
   * A URL that anyone can GET the object at until it expires, or undefined if the store does not support them.
   * @param expiresIn seconds
   */
  signedUrl(key: string, expiresIn: number): Promise<URL | undefined>;
}

export interface PutOptions {
  /** Names `[a-z0-9-]+`, values printable ASCII, 2 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Write only if no object has this key. See `limits.honoursOnlyIfAbsent`. */
  readonly onlyIfAbsent?: boolean;
  /** Write only if the object still has this ETag. See `limits.honoursIfMatch`. */
  readonly ifMatch?: string;
  /**
   * Whether a power cut may undo the change of the object, or leave it with wrong bytes: a folder need not wait for its disk then.
   * The death of processes harms it no more than others. It has no metadata.
   */
  readonly transient?: boolean;
  /** The change lands before this ends, or never. */
  readonly fence?: Fence | undefined;
}

export interface DeleteOptions extends Pick<PutOptions, 'transient' | 'fence'> {
  /**
   * Whether it has the fence of commits, and what goes for puts goes for it: it is sent again after a failure, so an earlier attempt may
   * land after it has resolved, until the fence ends; and a folder that can limit no change does not limit it.
   */
  readonly isCommit?: boolean;
}

/** An object to move, as `head` or `completeMultipart` described it. */
export interface MoveSource extends Pick<ObjectInfo, 'size' | 'etag'> {
  /** The parts it was made of, if known. */
  readonly parts?: readonly UploadedPart[];
}

/** Bytes from the start of an object, cut into parts. */
export interface Piece {
  readonly key: string;
  /** Bytes of each part, in order. */
  readonly sizes: readonly number[];
}

export interface ConcatenateOptions extends Pick<PutOptions, 'metadata'> {
  /** Bytes after the pieces. */
  readonly tail: Uint8Array;
}

/** An object to write, whatever is at its key. */
export interface NewObject {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly metadata?: PutOptions['metadata'];
  readonly fence?: PutOptions['fence'];
}

export interface ObjectWriter {
  /**
   * Writes a whole object, replacing any at the key; durable when it resolves, unless it is transient.
   * @throws PreconditionFailed if a given condition is honoured and does not hold
   * @throws FenceEnded
   */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<ObjectInfo>;

  /**
   * Writes small objects: each appears after those before it, and all are durable when it resolves. After a failure, the first ones
   * may exist. Only stores that do this faster than one `put` after another have it.
   */
  putInOrder?(objects: readonly NewObject[]): Promise<readonly ObjectInfo[]>;

  /**
   * Moves an object with its metadata, atomically replacing any at `to`. A store that cannot rename copies, and leaves it to
   * the caller to delete `from` together with other objects. Moving a key to itself changes nothing.
   * @param source what is known of `from`; a store that copies needs its size and copies only this object
   * @throws ObjectNotFound if `from` does not exist, as after an earlier call has moved it
   * @throws PreconditionFailed if `from` does not have the ETag `source.etag`
   */
  move(from: string, to: string, source?: MoveSource): Promise<void>;

  /**
   * Concatenates objects into a new one, which appears atomically; the sources stay. Their parts obey the limits of a
   * multipart upload: only the last may be small.
   * @returns false, with nothing done, if the store does not support it
   * @throws ObjectNotFound if a source does not exist
   */
  concatenate(to: string, pieces: readonly Piece[], options: ConcatenateOptions): Promise<boolean>;

  /**
   * Deletes any number of objects. Ignores keys that do not exist. Once a delete with a fence has resolved, nothing of it can land any
   * more, unless it is a commit; after any failure, some of it may have landed, and may land until {@link Fencing.endDeletion} says that
   * it cannot.
   * @throws FenceEnded
   */
  delete(keys: readonly string[], options?: DeleteOptions): Promise<void>;
}

export interface ListOptions {
  /** Lists only keys with this prefix; any string, also one without a slash at its end. Default: all keys. */
  readonly prefix?: string;
  /**
   * A string of any length. Keys that contain it after the prefix are rolled up: returned as one of `prefixes`, which ends
   * with the first occurrence of the delimiter.
   */
  readonly delimiter?: string;
  /**
   * Lists only keys after this one in byte order. A rolled-up prefix is returned if one of its keys comes after it, unless
   * `startAfter` itself starts with that prefix, which then counts as listed.
   */
  readonly startAfter?: string;
  /** Most entries (objects and prefixes together) to return, from 1. Default and maximum: 1000. */
  readonly limit?: number;
  /**
   * Skips unreadable folders below the prefix's own and reports them to {@link ObjectStore.onDamaged}; by default the listing
   * fails. For callers that show objects; never for those that delete what is not listed.
   */
  readonly skipUnreadable?: boolean;
}

export interface Listing {
  /** In byte order of their UTF-8 keys. */
  readonly objects: readonly ObjectInfo[];
  /** Rolled-up prefixes in byte order, without duplicates. */
  readonly prefixes: readonly string[];
  /**
   * The `startAfter` of the next page; undefined on the last page. On some servers the page after a full one that ends with a
   * rolled-up prefix may be empty.
   */
  readonly next: string | undefined;
}

export interface ObjectLister {
  /**
   * Lists one page of keys in byte order; an unknown prefix gives an empty page. Listings of some stores lag behind writes,
   * so no push or pull may depend on one.
   */
  list(options: ListOptions): Promise<Listing>;

  /**
   * The names, without slashes, of which there is an object `<prefix><name><namedSuffix>`, in byte order. Skips unreadable folders
   * below the prefix's own and reports them to {@link ObjectStore.onDamaged}. Only stores that find names faster than keys have it.
   * @param prefix with a slash at its end
   */
  listNames?(prefix: string, options: NameOptions): Promise<readonly string[]>;
}

/** What follows the name in the keys that {@link ObjectLister.listNames} lists: those of tags. */
export const namedSuffix = '/current/link';

export interface NameOptions {
  /** Leaves out all other names. */
  readonly isName: (text: string) => boolean;
  /** Only names after this one; empty for all. */
  readonly after: string;
  /** Most names to return, from 1. */
  readonly limit: number;
}

export interface UploadedPart {
  /** From 1 to `limits.maxParts`. */
  readonly number: number;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
  /** Whether a power cut may damage the bytes before the object is made of them. */
  readonly unsynced?: boolean;
}

/** An upload in progress. */
export interface MultipartUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly started: Date;
}

/** A part of a multipart upload that takes its bytes as they arrive. One of its methods runs at a time. */
export interface PartSink {
  /**
   * Resolves once the bytes may be overwritten; they are not durable yet.
   * @throws MultipartNotFound if the upload was completed or aborted
   */
  write(bytes: Uint8Array): Promise<void>;

  /**
   * Ends the part; its bytes are durable when it resolves, unless it is transient.
   * @throws MultipartNotFound if the upload was completed or aborted
   */
  finish(options?: Pick<PutOptions, 'transient'>): Promise<UploadedPart>;

  /** Discards the part. Never rejects. */
  abort(): Promise<void>;
}

export interface MultipartWriter {
  /**
   * Creates a multipart upload and returns its id; any process may continue it. No object appears yet. A power cut may undo it, and
   * leave its parts with wrong bytes if they are `unsynced`.
   */
  createMultipart(key: string, options?: Pick<PutOptions, 'metadata'>): Promise<string>;

  /**
   * Writes one part; its bytes are durable when it resolves. Parts may be written in any order, concurrently, and again: see
   * `limits.replacesParts`.
   * @throws MultipartNotFound if the upload does not exist, or was completed or aborted
   */
  uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart>;

  /**
   * Makes the object of exactly these parts in this order, at least one, and atomically replaces any at the key. It is durable when
   * this resolves.
   * @throws MultipartNotFound if the upload is gone; an earlier call whose response was lost may have completed it
   * @throws InvalidPart if a part is missing, has another ETag, is out of order, or is below `limits.minPartSize` without
   *   being the last. The upload is unchanged.
   */
  completeMultipart(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<ObjectInfo>;

  /**
   * Opens a part that takes its bytes as they arrive, in any number. Only stores that need not know a part before they store it
   * have this.
   * @param continued the last part of the upload: the new one has its number and starts with its bytes; both exist then, and
   *   differ in their ETags
   * @returns undefined if this process cannot continue that part, so that its bytes would have to be copied
   * @throws MultipartNotFound if the upload does not exist, or was completed or aborted
   */
  openPart?(
    key: string,
    uploadId: string,
    number: number,
    continued?: UploadedPart,
  ): Promise<PartSink | undefined>;

  /**
   * Reads the bytes of parts of an upload in progress, from byte `start` of all of them. Only some stores can. Each piece is valid
   * until the next is read.
   * @throws MultipartNotFound if the upload does not exist, or was completed or aborted
   * @throws InvalidPart if a part is missing or has another ETag, or a power cut has shortened it
   */
  readParts?(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    start: number,
  ): AsyncIterable<Uint8Array>;

  /** Deletes an upload and its parts. Ignores one that does not exist. */
  abortMultipart(key: string, uploadId: string): Promise<void>;

  /** Uploads in progress with this key prefix, in no particular order. */
  listMultiparts(prefix: string): AsyncIterable<MultipartUpload>;

  /** Why the last of these listings may have been incomplete, in words; undefined if it was complete. */
  readonly unlistedMultiparts?: string | undefined;
}

/** An error of a store about the object `key`. */
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

/** The store is unreachable, refused access or failed; see the cause. A retry may succeed. */
export class StoreUnavailable extends StoreError {
  override readonly name: string = 'StoreUnavailable';
}

/**
 * A change came after the end of its fence, and was refused. Only an earlier attempt, whose answer was lost, may have landed. Everything
 * that it relies on must be looked at again.
 */
export class FenceEnded extends StoreUnavailable {
  override readonly name = 'FenceEnded';
  constructor(key: string, options?: ErrorOptions) {
    super(key, `the change of ${key} came too late, and was refused; try again`, options);
  }
}

/** Only this object is known to be affected; others may be readable. */
export class ObjectUnreadable extends StoreUnavailable {
  override readonly name = 'ObjectUnreadable';
}

/** Compares two keys by their UTF-8 bytes, the order of listings. */
export function compareKeys(a: string, b: string): number {
  // UTF-16 order equals UTF-8 order unless surrogates are involved.
  return hasSurrogates(a) || hasSurrogates(b)
    ? Buffer.compare(Buffer.from(a), Buffer.from(b))
    : a < b
      ? -1
      : a > b
        ? 1
        : 0;
}

/** Sorts by key, in the order of {@link compareKeys}. */
export function sortByKey<T extends { readonly key: string }>(entries: T[]): T[] {
  // To look for surrogates once and not in each comparison saves most of the time.
  if (entries.some(({ key }) => hasSurrogates(key))) return entries.sort((a, b) => compareKeys(a.key, b.key));
  return entries.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

function hasSurrogates(key: string): boolean {
  return /[\ud800-\udfff]/.test(key);
}

/** Whether the folders that a prefix names may occur in a key. */
export function isValidPrefix(prefix: string): boolean {
  return !prefix.split('/').slice(0, -1).some(isInvalidSegment);
}

export function isInvalidSegment(text: string): boolean {
  return text === '' || text === '.' || text === '..';
}

/** @throws InvalidKey if a key breaks a rule of {@link ObjectStore} */
export function assertKey(key: string): void {
  const fault =
    key === '' || Buffer.byteLength(key) > 1024
      ? 'must have 1 to 1024 bytes'
      : !key.isWellFormed()
        ? 'must be well-formed Unicode'
        : key.includes('\0')
          ? 'must not contain NUL'
          : key.split('/').some(isInvalidSegment)
            ? 'must not have empty, "." or ".." segments'
            : undefined;
  if (fault !== undefined) throw new InvalidKey(key, `object key ${JSON.stringify(key)} ${fault}`);
}
