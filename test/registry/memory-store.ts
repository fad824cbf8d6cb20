import { createHash, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  compareKeys,
  InvalidPart,
  MultipartNotFound,
  ObjectNotFound,
  ObjectTooLarge,
  PreconditionFailed,
  RangeNotSatisfiable,
  type ByteRange,
  type ConcatenateOptions,
  type Listing,
  type ListOptions,
  type MultipartUpload,
  type MoveSource,
  type ObjectHead,
  type ObjectInfo,
  type ObjectStore,
  type Piece,
  type PutOptions,
  type StoreLimits,
  type UploadedPart,
} from '../../lib/storage/store.ts';

interface StoredObject extends ObjectHead {
  readonly bytes: Buffer;
}

interface StoredPart extends UploadedPart {
  readonly bytes: Buffer;
}

interface StoredUpload {
  readonly key: string;
  readonly metadata: ObjectHead['metadata'];
  readonly started: Date;
  parts: readonly StoredPart[];
}

export interface MemoryStoreOptions {
  /** As on S3, where a part written again replaces the first; else both exist, with different ETags. */
  readonly partsReplace?: boolean;
  readonly conditionalWrites?: boolean;
  /** As in a folder, which honours this condition and no other. */
  readonly onlyIfAbsent?: boolean;
  /** As on S3: a move leaves its source, and parts go up several at a time. */
  readonly copies?: boolean;
  /** As on R2. */
  readonly equalParts?: boolean;
  /** As on Swift: a completed upload takes parts, and can be completed again with others. */
  readonly completesAgain?: boolean;
  /** Of a completed upload it says that its parts are not there, and not that it is gone. */
  readonly forgetsParts?: boolean;
  /** What time it is, for the dates of objects and uploads. */
  readonly now?: () => Date;
}

/**
 * A bucket in memory, whose parts are so small that what takes megabytes elsewhere takes kilobytes here: for tests that
 * repeat an upload thousands of times.
 */
export class MemoryStore implements ObjectStore {
  readonly limits: StoreLimits;
  readonly objects = new Map<string, StoredObject>();
  readonly #uploads = new Map<string, StoredUpload>();
  readonly #partsReplace: boolean;
  readonly #copies: boolean;
  readonly #completesAgain: boolean;
  readonly #forgetsParts: boolean;
  readonly #now: () => Date;

  constructor(options: MemoryStoreOptions = {}) {
    const { partsReplace = false, conditionalWrites = false, copies = false, equalParts = false } = options;
    const { now = () => new Date(), onlyIfAbsent = conditionalWrites } = options;
    this.limits = {
      minPartSize: 1000,
      partSize: 2000,
      maxPartSize: 2000,
      maxParts: 100,
      parallelParts: copies ? 3 : 1,
      equalParts,
      replacesParts: partsReplace,
      honoursOnlyIfAbsent: onlyIfAbsent,
      honoursIfMatch: conditionalWrites,
    };
    this.#partsReplace = partsReplace;
    this.#copies = copies;
    this.#completesAgain = options.completesAgain ?? false;
    this.#forgetsParts = options.forgetsParts ?? false;
    this.#now = now;
  }

  async head(key: string): Promise<ObjectHead> {
    const { size, lastModified, etag, metadata } = await this.#find(key);
    return { key, size, lastModified, etag, metadata };
  }

  async open(key: string, range?: ByteRange): Promise<ObjectHead & { readonly body: Readable }> {
    const { bytes, ...head } = await this.#find(key);
    if (range !== undefined && range.start >= bytes.length) throw new RangeNotSatisfiable(key, bytes.length);
    const end = Math.min(range?.end ?? Infinity, bytes.length - 1) + 1;
    return { ...head, body: Readable.from([bytes.subarray(range?.start ?? 0, end)]) };
  }

  async read(key: string, limit: number): Promise<ObjectHead & { readonly bytes: Buffer }> {
    const object = await this.#find(key);
    if (object.size > limit) throw new ObjectTooLarge(key, object.size, limit);
    return object;
  }

  signedUrl(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<ObjectInfo> {
    const copy = Buffer.from(bytes);
    await Promise.resolve();
    const etag = this.objects.get(key)?.etag;
    const { onlyIfAbsent = false, ifMatch, metadata } = options;
    const { honoursOnlyIfAbsent, honoursIfMatch } = this.limits;
    const isTaken = honoursOnlyIfAbsent && onlyIfAbsent && etag !== undefined;
    const isChanged = honoursIfMatch && ifMatch !== undefined && ifMatch !== etag;
    if (isTaken || isChanged) throw new PreconditionFailed(key);
    return this.#place(key, copy, metadata);
  }

  async move(from: string, to: string, source?: MoveSource): Promise<void> {
    const { bytes, metadata, etag } = await this.#find(from);
    if (source !== undefined && source.etag !== etag) throw new PreconditionFailed(from);
    if (from === to) return;
    this.#place(to, bytes, metadata);
    if (!this.#copies) this.objects.delete(from);
  }

  async concatenate(to: string, pieces: readonly Piece[], options: ConcatenateOptions): Promise<boolean> {
    if (!this.#copies) return false;
    const { minPartSize, equalParts } = this.limits;
    const bytes: Buffer[] = [];
    for (const { key, sizes } of pieces) {
      const { bytes: source } = await this.#find(key);
      const size = sizes.reduce((sum, one) => sum + one, 0);
      if (size > source.length) throw new InvalidPart(key, 'it is not that long');
      bytes.push(source.subarray(0, size));
    }
    const sizes = [
      ...pieces.flatMap((piece) => piece.sizes),
      ...(options.tail.length > 0 ? [options.tail.length] : []),
    ];
    const isFit = (size: number) => (equalParts ? size === sizes[0] : size >= minPartSize);
    if (!sizes.slice(0, -1).every(isFit)) throw new InvalidPart(to, 'a part is not right');
    this.#place(to, Buffer.concat([...bytes, options.tail]), options.metadata);
    return true;
  }

  async delete(keys: readonly string[]): Promise<void> {
    await Promise.resolve();
    for (const key of keys) this.objects.delete(key);
  }

  /** Without a delimiter, and all of it in one page: no test here asks for more. */
  async list({ prefix = '', delimiter, startAfter = '', limit = 1000 }: ListOptions): Promise<Listing> {
    await Promise.resolve();
    const objects = [...this.objects.values()].sort((a, b) => compareKeys(a.key, b.key));
    const entries = new Map<string, ObjectInfo | undefined>();
    for (const object of objects.filter(
      ({ key }) => key.startsWith(prefix) && compareKeys(key, startAfter) > 0,
    )) {
      const at = delimiter === undefined ? -1 : object.key.indexOf(delimiter, prefix.length);
      const rolledUp = object.key.slice(0, at + (delimiter ?? '').length);
      if (at < 0) entries.set(object.key, object);
      // The one that it starts with counts as listed.
      else if (!startAfter.startsWith(rolledUp)) entries.set(rolledUp, undefined);
    }
    const page = [...entries].slice(0, limit);
    return {
      objects: page.flatMap(([, object]) => object ?? []),
      prefixes: page.flatMap(([key, object]) => (object === undefined ? [key] : [])),
      next: entries.size > limit ? page.at(-1)?.[0] : undefined,
    };
  }

  async createMultipart(key: string, { metadata = {} }: Pick<PutOptions, 'metadata'> = {}): Promise<string> {
    await Promise.resolve();
    const id = randomUUID();
    this.#uploads.set(id, { key, metadata, started: this.#now(), parts: [] });
    return id;
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    const copy = Buffer.from(bytes);
    const upload = await this.#upload(key, uploadId);
    const part = { number, etag: randomUUID(), size: copy.length };
    const others = upload.parts.filter((other) => !this.#partsReplace || other.number !== number);
    upload.parts = [...others, { ...part, bytes: copy }];
    return part;
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    const upload = await this.#upload(key, uploadId);
    if (parts.length === 0) throw new InvalidPart(key, 'no parts');
    const found = parts.map(({ number, etag }, i) => {
      const part = upload.parts.find((one) => one.number === number && one.etag === etag);
      const last = i === parts.length - 1;
      const equal = last || !this.limits.equalParts || part?.size === parts[0]?.size;
      const small = ((part?.size ?? 0) < this.limits.minPartSize && !last) || !equal;
      if (part === undefined || small || number <= (parts[i - 1]?.number ?? 0))
        throw new InvalidPart(key, `part ${number} is not right`);
      return part.bytes;
    });
    if (this.#forgetsParts) upload.parts = [];
    else if (!this.#completesAgain) this.#uploads.delete(uploadId);
    return this.#place(key, Buffer.concat(found), upload.metadata);
  }

  async abortMultipart(_key: string, uploadId: string): Promise<void> {
    await Promise.resolve();
    this.#uploads.delete(uploadId);
  }

  async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    await Promise.resolve();
    for (const [uploadId, { key, started }] of this.#uploads)
      if (key.startsWith(prefix)) yield { key, uploadId, started };
  }

  async #find(key: string): Promise<StoredObject> {
    await Promise.resolve();
    return this.objects.get(key) ?? raise(new ObjectNotFound(key));
  }

  async #upload(key: string, uploadId: string): Promise<StoredUpload> {
    await Promise.resolve();
    const upload = this.#uploads.get(uploadId);
    return upload?.key === key ? upload : raise(new MultipartNotFound(key));
  }

  #place(key: string, bytes: Buffer, metadata: ObjectHead['metadata'] = {}): ObjectInfo {
    const etag = createHash('md5').update(bytes).digest('hex');
    const info = { key, size: bytes.length, lastModified: this.#now(), etag };
    this.objects.set(key, { ...info, metadata, bytes });
    return info;
  }
}

function raise(error: Error): never {
  throw error;
}
