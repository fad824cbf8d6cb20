import { RegistryError } from '../../protocol/errors.ts';
import {
  MultipartNotFound,
  type MoveSource,
  type NewObject,
  type ObjectInfo,
  type ObjectStore,
  type PartSink,
  type UploadedPart,
} from '../../storage/store.ts';
import { putInOrder } from '../put-objects.ts';
import type { BufferPool, Claim } from './buffer-pool.ts';
import { blockBytes, partSize, smallestPart, unclaimedBytes } from './part-sizes.ts';

/**
 * A part of an upload. The first request that fills one starts a multipart upload and adds its parts to it. The parts of a
 * later request must not replace others until its session is saved: a concurrent request may have started at the same offset,
 * be refused, and still be writing. So on stores where parts replace others of their number, each is an object of its own.
 */
export interface StoredPart extends UploadedPart {
  /** Of the object, if the part is one. */
  readonly key?: string;
}

/** A multipart upload in progress, with all parts so far. */
export interface Multipart {
  readonly key: string;
  readonly uploadId: string;
  readonly parts: readonly StoredPart[];
}

export interface PartWriterOptions {
  readonly pool: BufferPool;
  /** A new key, for a part that is an object or for a spill. */
  readonly newKey: () => string;
  /** Bytes of the object, if known. */
  readonly length?: number | undefined;
  /** Of the object. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** An upload to resume, with its tail and the memory claimed for that. */
  readonly resume?: {
    readonly multipart: Multipart | undefined;
    readonly tail: Buffer;
    readonly claim?: Claim | undefined;
  };
}

/** A part that takes its bytes as they arrive, where the store has such: instead of filling memory with a whole part. */
interface OpenPart {
  readonly number: number;
  /** Resolves with undefined if the upload is gone. */
  readonly sink: Promise<PartSink | undefined>;
  /** The last write. Never rejects. */
  written: Promise<void>;
}

/** Bytes of the tail that were moved to the store to free memory. */
interface Spill {
  readonly key: string;
  readonly size: number;
  readonly stored: Promise<unknown>;
}

/**
 * Collects bytes into parts of the size a store wants and stores several concurrently if that helps it. Bytes that do not
 * fill a part stay in memory, as the `tail`. While other uploads wait for memory, a tail that was held for long is spilled:
 * moved to the store, and read back when it is needed.
 *
 * Where the store has parts that take their bytes as they arrive (a folder), the first full part becomes the start of one, which
 * takes all further bytes of this request in blocks.
 */
export class PartWriter {
  readonly #store: ObjectStore;
  readonly #key: string;
  readonly #pool: BufferPool;
  readonly #newKey: () => string;
  readonly #length: number | undefined;
  /** Of the object; public for writes of it without this writer. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By number, from 1. Those in progress have no ETag yet. */
  readonly #parts: StoredPart[];
  /** Whether new parts are objects instead of parts of the multipart upload. */
  readonly #partsAreObjects: boolean;
  /** Keys of the parts that this writer created as objects. */
  readonly #createdKeys: string[] = [];
  #upload: Promise<string> | undefined;
  #uploadId: string | undefined;
  #lost = false;
  #created = false;
  /** The bytes after the spills. */
  #buffer: Buffer;
  #filled: number;
  /** For the buffer, if it exceeds {@link unclaimedBytes}. */
  #claim: Claim | undefined;
  #spills: Spill[] = [];
  #open: OpenPart | undefined;
  readonly #pending = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** @param key of the object, unless an upload is resumed */
  constructor(store: ObjectStore, key: string, options: PartWriterOptions) {
    const { pool, newKey, length, metadata = {}, resume } = options;
    this.#store = store;
    this.#pool = pool;
    this.#newKey = newKey;
    this.#length = length;
    this.metadata = metadata;
    this.#key = resume?.multipart?.key ?? key;
    this.#uploadId = resume?.multipart?.uploadId;
    this.#parts = [...(resume?.multipart?.parts ?? [])];
    this.#partsAreObjects = this.#uploadId !== undefined && store.limits.replacesParts;
    this.#buffer = resume?.tail ?? Buffer.alloc(0);
    this.#filled = this.#buffer.byteLength;
    this.#claim = resume?.claim;
  }

  /** The upload in progress; undefined while all bytes are in the tail. Valid once settled. */
  get multipart(): Multipart | undefined {
    return this.#uploadId === undefined
      ? undefined
      : { key: this.#key, uploadId: this.#uploadId, parts: [...this.#parts] };
  }

  /** Bytes in no part yet. Valid once settled. A view: copy it to keep it after {@link close}. */
  get tail(): Buffer {
    return this.#buffer.subarray(0, this.#filled);
  }

  /** Whether another request has completed or aborted the multipart upload. Further writes are discarded. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Allows the memory of a resumed tail to be reclaimed. More may be written then, and the writer must be settled. */
  allowSpilling(): void {
    this.#claim?.onReclaim(() => {
      this.#spill();
    });
  }

  /**
   * Resolves when more may be written, not when all is stored.
   * @throws RegistryError BUSY if it times out waiting for memory
   */
  async write(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.byteLength > 0;) {
      // A resumed tail may exceed a part if the store's settings have changed.
      const taken = Math.min(rest.byteLength, Math.max(0, this.#partSize() - this.#tailSize));
      // What has filled a part will fill further blocks.
      const unclaimed = this.#open === undefined ? unclaimedBytes : 0;
      if (this.#filled + taken > (this.#claim?.bytes ?? unclaimed)) await this.#claimPart();
      this.#take(rest.subarray(0, taken));
      rest = rest.subarray(taken);
      if (this.#tailSize >= this.#partSize()) await this.#startPart();
    }
  }

  /**
   * Waits until parts are stored. A tail that is large enough becomes a part, so that few bytes remain.
   * @param transient whether a power cut may damage the bytes; see {@link PartSink.finish}
   */
  async settle({ transient = false } = {}): Promise<void> {
    const isPart =
      this.#open !== undefined || this.#tailSize >= smallestPart(this.#store.limits, this.#parts);
    if (isPart && this.#tailSize > 0) await this.#startPart();
    await this.#reloadSpills();
    this.#claim?.pin();
    await this.#endPart(transient);
    await this.#allStored();
  }

  /**
   * Continues the last part of a resumed upload, if this process can do so without a copy. Then every chunk is written once, and
   * the upload keeps a single part, however many chunks it has.
   */
  async continueLastPart(): Promise<void> {
    const last = this.#parts.at(-1);
    if (last === undefined || this.#uploadId === undefined || this.#store.openPart === undefined) return;
    const sink = await this.#store.openPart(this.#key, this.#uploadId, last.number, last).catch(gone);
    if (sink === undefined) return;
    this.#open = { number: last.number, sink: Promise.resolve(sink), written: Promise.resolve() };
    this.#parts[last.number - 1] = { ...last, etag: '' };
  }

  /**
   * Stores the tail and completes the object, in one write if all bytes are in the tail. Not for parts that are objects.
   * @param keepsTail keeps the tail in memory, in case a concurrent request completed the object with other last bytes
   * @param followedBy objects to write after it if it is written at once: another completion may take long
   * @throws MultipartNotFound if {@link lost}
   */
  async complete({ keepsTail = false, followedBy = [] as readonly NewObject[] } = {}): Promise<
    ObjectInfo & MoveSource
  > {
    await this.#allStored();
    if (this.#uploadId === undefined) {
      await this.#reloadSpills();
      this.#claim?.pin();
      const whole = { key: this.#key, bytes: this.tail, metadata: this.metadata };
      const [info] = await putInOrder(this.#store, [whole, ...followedBy]);
      if (info === undefined) throw new Error(`${this.#key} was not written`);
      return info;
    }
    const { length } = this.#parts;
    if (keepsTail && this.#filled > 0) await this.#storeInMultipart(this.#nextNumber(), this.tail);
    else if (this.#tailSize > 0) await this.#startPart({ asObject: false });
    await this.#endPart();
    await this.#allStored();
    const parts = [...this.#parts];
    this.#parts.length = length;
    if (this.#lost) throw new MultipartNotFound(this.#key);
    const info = await this.#store.completeMultipart(this.#key, this.#uploadId, parts);
    return { ...info, parts };
  }

  /** Stores the tail as a part that is an object, however small, and releases its memory. */
  async storeTailAsObject(): Promise<void> {
    await this.#reloadSpills();
    this.#claim?.pin();
    if (this.#filled > 0) await this.#storeAsObject(this.#parts.length + 1, this.tail);
    this.close();
  }

  /** Releases the memory and discards the tail. */
  close(): void {
    const { buffer, claim } = this.#detach();
    claim?.release(buffer);
  }

  /** Deletes what this writer itself created. Best effort: a purge removes what remains. */
  async discard(): Promise<void> {
    this.close();
    await Promise.all(this.#pending);
    await (await this.#open?.sink.catch(() => undefined))?.abort();
    this.#open = undefined;
    await this.#deleteSpills(this.#spills);
    if (this.#createdKeys.length > 0) await this.#store.delete(this.#createdKeys).catch(() => undefined);
    if (this.#created && this.#uploadId !== undefined)
      await this.#store.abortMultipart(this.#key, this.#uploadId).catch(() => undefined);
  }

  /** Bytes to collect before they are stored. */
  #partSize(): number {
    if (this.#open !== undefined) return blockBytes;
    return partSize(this.#store.limits, this.#parts, this.#length);
  }

  /** Bytes in no part yet, in memory or spilled. */
  get #tailSize(): number {
    return this.#filled + this.#spilled;
  }

  get #spilled(): number {
    return this.#spills.reduce((sum, { size }) => sum + size, 0);
  }

  /** Claims memory for the rest of the part, or of the object if that is known to be less. */
  async #claimPart(): Promise<void> {
    // A resumed tail's claim may be too small. No writer waits for memory while holding some.
    if (this.#claim !== undefined) this.#spill();
    const stored = this.#parts.reduce((sum, { size }) => sum + size, 0) + this.#spilled;
    const most = Math.min(this.#partSize() - this.#spilled, (this.#length ?? Infinity) - stored);
    this.#claim = await this.#pool.claim(most);
    this.allowSpilling();
  }

  /** Without a claim the buffer grows with its content, so that small uploads need little memory. */
  #take(bytes: Uint8Array): void {
    const needed = this.#filled + bytes.byteLength;
    if (needed > this.#buffer.byteLength) {
      const larger =
        this.#claim === undefined
          ? Buffer.allocUnsafeSlow(Math.max(needed, Math.min(unclaimedBytes, 4 * needed)))
          : this.#pool.buffer(this.#claim.bytes);
      this.#buffer.copy(larger, 0, 0, this.#filled);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#filled);
    this.#filled = needed;
  }

  /** Takes the buffer and its claim from this writer, to store or release them. */
  #detach(): { readonly buffer: Buffer; readonly bytes: Buffer; readonly claim: Claim | undefined } {
    const detached = { buffer: this.#buffer, bytes: this.tail, claim: this.#claim };
    [this.#buffer, this.#filled, this.#claim] = [Buffer.alloc(0), 0, undefined];
    detached.claim?.pin();
    return detached;
  }

  /** Moves the buffer to the store and releases its memory. */
  #spill(): void {
    if (this.#open !== undefined) {
      this.#append(this.#open);
      return;
    }
    const { buffer, bytes, claim } = this.#detach();
    const key = this.#newKey();
    const stored = this.#runInBackground(this.#store.put(key, bytes), () => claim?.release(buffer));
    this.#spills.push({ key, size: bytes.byteLength, stored });
  }

  /** Reads spills back, so that the whole tail is in the buffer. Holds no memory while it waits for more. */
  async #reloadSpills(): Promise<void> {
    if (this.#spills.length === 0) return;
    if (this.#claim !== undefined) this.#spill();
    const claim = await this.#pool.claim(this.#tailSize);
    const [spills, rest, size] = [this.#spills, this.tail, this.#tailSize];
    this.#buffer = this.#pool.buffer(size);
    [this.#spills, this.#filled, this.#claim] = [[], 0, claim];
    for (const spill of spills) {
      await spill.stored;
      this.#throwFailure();
      this.#take((await this.#store.read(spill.key, spill.size)).bytes);
    }
    this.#take(rest);
    await this.#deleteSpills(spills);
  }

  async #deleteSpills(spills: readonly Spill[]): Promise<void> {
    await Promise.all(spills.map(async ({ stored }) => await stored));
    if (spills.length > 0) await this.#store.delete(spills.map(({ key }) => key)).catch(() => undefined);
  }

  /** Starts storing the buffer as a part, once the store accepts another one, and continues with a new buffer. */
  async #startPart({ asObject = this.#partsAreObjects } = {}): Promise<void> {
    await this.#reloadSpills();
    this.#claim?.pin();
    while (this.#pending.size >= this.#store.limits.parallelParts) await Promise.race(this.#pending);
    this.#throwFailure();
    if (!asObject && this.#store.openPart !== undefined) {
      this.#append(await this.#openPart());
      return;
    }
    const number = this.#nextNumber();
    const { buffer, bytes, claim } = this.#detach();
    this.#parts.push({ number, etag: '', size: bytes.byteLength });
    const stored = asObject ? this.#storeAsObject(number, bytes) : this.#storeInMultipart(number, bytes);
    void this.#runInBackground(stored, () => claim?.release(buffer));
  }

  /** The part that takes the buffer: a new one if the current one is as large as it may be. */
  async #openPart(): Promise<OpenPart> {
    const { maxPartSize } = this.#store.limits;
    const size = this.#open === undefined ? 0 : (this.#parts[this.#open.number - 1]?.size ?? 0);
    if (size + this.#filled > maxPartSize) await this.#endPart();
    this.#open ??= this.#startOpenPart(this.#nextNumber());
    return this.#open;
  }

  #startOpenPart(number: number): OpenPart {
    this.#parts.push({ number, etag: '', size: 0 });
    const sink = this.#inUpload(
      async (uploadId) => await this.#store.openPart?.(this.#key, uploadId, number),
    );
    // Whoever writes to it learns of a failure.
    sink.catch(() => undefined);
    return { number, sink, written: Promise.resolve() };
  }

  /** Starts writing the buffer to an open part, after what was written to it before, and continues with a new buffer. */
  #append(open: OpenPart): void {
    const { buffer, bytes, claim } = this.#detach();
    const size = (this.#parts[open.number - 1]?.size ?? 0) + bytes.byteLength;
    this.#parts[open.number - 1] = { number: open.number, etag: '', size };
    const before = open.written;
    const written = (async () => {
      await before;
      const sink = await open.sink;
      if (sink !== undefined && this.#failure === undefined)
        await this.#unlessLost(async () => {
          await sink.write(bytes);
        });
    })();
    open.written = this.#runInBackground(written, () => claim?.release(buffer));
  }

  /** Ends the open part, if there is one: it is stored then. */
  async #endPart(transient = false): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    await open.written;
    this.#throwFailure();
    const sink = await open.sink;
    this.#open = undefined;
    const part = await this.#unlessLost(async () => await sink?.finish({ transient }));
    if (part !== undefined) this.#parts[open.number - 1] = part;
  }

  /** @throws RegistryError SIZE_INVALID if no more parts are allowed */
  #nextNumber(): number {
    const { length } = this.#parts;
    if (length < this.#store.limits.maxParts) return length + 1;
    throw new RegistryError('SIZE_INVALID', `the storage takes no blob of more than ${length} parts`);
  }

  /** Its failure surfaces on the next {@link #throwFailure}. @param release called when the work ends */
  #runInBackground(work: Promise<unknown>, release: () => void): Promise<void> {
    const ended = work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => {
        release();
        this.#pending.delete(ended);
      });
    this.#pending.add(ended);
    return ended;
  }

  async #allStored(): Promise<void> {
    await Promise.all(this.#pending);
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #storeAsObject(number: number, bytes: Uint8Array): Promise<void> {
    const key = this.#newKey();
    this.#createdKeys.push(key);
    const { etag, size } = await this.#store.put(key, bytes);
    this.#parts[number - 1] = { number, etag, size, key };
  }

  async #storeInMultipart(number: number, bytes: Uint8Array): Promise<void> {
    const part = await this.#inUpload(
      async (uploadId) => await this.#store.uploadPart(this.#key, uploadId, number, bytes),
    );
    if (part !== undefined) this.#parts[number - 1] = part;
  }

  /** Does something with the multipart upload, which the first caller creates. @returns undefined if it is lost */
  async #inUpload<T>(work: (uploadId: string) => Promise<T>): Promise<T | undefined> {
    return await this.#unlessLost(async () => {
      this.#uploadId ??= await (this.#upload ??= this.#create());
      return await work(this.#uploadId);
    });
  }

  async #unlessLost<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#lost) return undefined;
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof MultipartNotFound)) throw error;
      this.#lost = true;
      return undefined;
    }
  }

  async #create(): Promise<string> {
    const uploadId = await this.#store.createMultipart(this.#key, { metadata: this.metadata });
    this.#created = true;
    return uploadId;
  }
}

/** For an upload that is gone: what is written to it next finds out. */
function gone(error: unknown): undefined {
  if (error instanceof MultipartNotFound) return undefined;
  throw error;
}
