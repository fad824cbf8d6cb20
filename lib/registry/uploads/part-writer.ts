import { RegistryError } from '../../protocol/errors.ts';
import {
  MultipartNotFound,
  type MoveSource,
  type ObjectInfo,
  type ObjectStore,
  type StoreLimits,
  type UploadedPart,
} from '../../storage/store.ts';
import type { BufferPool, Claim } from './buffer-pool.ts';

/*
 * Sizes of parts. They double after each tenth of the parts an upload may have, so that these hold a hundred times what
 * they would at the first size: 8 TiB in 10,000 parts of 8 MiB and more.
 */

/** Most bytes of an upload that lie in its session for want of a part that large. */
export const maxTailBytes = 64 * 1024 * 1024;

/**
 * Bytes of the next part.
 * @param parts there are already
 * @param length of the whole object, where it is known: if all parts must have one size, that decides it
 */
function partSize(limits: StoreLimits, parts: readonly UploadedPart[], length: number | undefined): number {
  const { partSize: base, maxPartSize, maxParts, equalParts } = limits;
  if (equalParts) return parts[0]?.size ?? Math.max(base, Math.ceil((length ?? 0) / maxParts));
  return Math.min(base * 2 ** Math.floor(parts.length / (maxParts / 10)), maxPartSize);
}

/** How few bytes become a part before their number is known to be final. Many small chunks must not use up all parts. */
function smallestPart(limits: StoreLimits, parts: readonly UploadedPart[]): number {
  const { minPartSize, maxParts, equalParts } = limits;
  const next = partSize(limits, parts, undefined);
  if (equalParts) return next;
  return parts.length < maxParts / 2 ? minPartSize : Math.min(next, maxTailBytes);
}

/**
 * A part of an upload. The first request that fills one begins a multipart upload, and its parts are that one's. Those of a
 * later request must be its own until its session is saved, for another one may have begun at the same place, be refused, and
 * still be writing. So where a part would replace another of its number, each is an object at a key of its own.
 */
export interface StoredPart extends UploadedPart {
  /** Of the object, where it is one. */
  readonly key?: string;
}

/** A multipart upload in progress: where it goes, and its parts so far, in it or apart from it. */
export interface Multipart {
  readonly key: string;
  readonly uploadId: string;
  readonly parts: readonly StoredPart[];
}

export interface PartWriterOptions {
  readonly pool: BufferPool;
  /** A key of its own, for a part that is apart, and for bytes that are kept in the store while others need the memory. */
  readonly newKey: () => string;
  /** Bytes the object will have, where that is known. */
  readonly length?: number | undefined;
  /** Of the object. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** An upload to go on with, its bytes that are in no part yet, and what was claimed for these. */
  readonly resume?: {
    readonly multipart: Multipart | undefined;
    readonly tail: Buffer;
    readonly claim?: Claim | undefined;
  };
}

/** Bytes in memory that a writer needs no claim for. */
export const unclaimedBytes = 64 * 1024;

/** Bytes that were put aside. */
interface Spill {
  readonly key: string;
  readonly size: number;
  readonly stored: Promise<unknown>;
}

/**
 * Takes bytes in pieces of any size and puts them into parts of the size a store wants, several at a time where that
 * helps it. What is too little for a part stays in memory: it is the `tail`. While other uploads wait for memory, a tail
 * that has been there for long is put aside in the store, and read again when it is needed.
 */
export class PartWriter {
  readonly #store: ObjectStore;
  readonly #key: string;
  readonly #pool: BufferPool;
  readonly #newKey: () => string;
  readonly #length: number | undefined;
  /** For the object, where the bytes become it without this writer. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By number, from 1. Those on their way have no ETag yet. */
  readonly #parts: StoredPart[];
  /** Whether parts are objects of their own, and not those of the multipart upload. */
  readonly #partsAreObjects: boolean;
  /** Keys of such objects that this writer has made. */
  readonly #createdKeys: string[] = [];
  #upload: Promise<string> | undefined;
  #uploadId: string | undefined;
  #lost = false;
  #created = false;
  /** Of the bytes that come next, after those that were put aside. */
  #buffer: Buffer;
  #filled: number;
  /** For the buffer, where it has more than {@link unclaimedBytes}. */
  #claim: Claim | undefined;
  #spills: Spill[] = [];
  readonly #pending = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** @param key where the object will be, unless one is resumed */
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

  /** The upload in progress, or undefined while all bytes are in the tail. To be asked when settled. */
  get multipart(): Multipart | undefined {
    return this.#uploadId === undefined
      ? undefined
      : { key: this.#key, uploadId: this.#uploadId, parts: [...this.#parts] };
  }

  /** Bytes in no part yet. To be asked when settled. A view: copy it to keep it after {@link close}. */
  get tail(): Buffer {
    return this.#buffer.subarray(0, this.#filled);
  }

  /**
   * Whether the store said that the multipart upload is gone: another request has completed or thrown it away. What is
   * written from then on is dropped.
   */
  get lost(): boolean {
    return this.#lost;
  }

  /** Lets others have the memory of a resumed tail when they have waited for it for long enough. More may be written then, and it is to be settled. */
  allowSpilling(): void {
    this.#claim?.onReclaim(() => {
      this.#spill();
    });
  }

  /**
   * Resolves when more may be written, which is not yet when all is stored.
   * @throws RegistryError BUSY when there was no memory for too long
   */
  async write(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.byteLength > 0;) {
      // A resumed tail may be more than a part, if the store's settings have changed meanwhile.
      const taken = Math.min(rest.byteLength, Math.max(0, this.#partSize() - this.#tailSize));
      if (this.#filled + taken > (this.#claim?.bytes ?? unclaimedBytes)) await this.#claimPart();
      this.#take(rest.subarray(0, taken));
      rest = rest.subarray(taken);
      if (this.#tailSize >= this.#partSize()) await this.#startPart();
    }
  }

  /** Waits for what is being stored. A tail that is large enough becomes a part, so that few bytes stay over. */
  async settle(): Promise<void> {
    if (this.#tailSize >= smallestPart(this.#store.limits, this.#parts)) await this.#startPart();
    await this.#reloadSpills();
    this.#claim?.pin();
    await this.#allStored();
  }

  /**
   * Stores the rest and completes the object, in one write when all of it is in the tail. Not where parts are apart.
   * @param keepsTail whether that stays, in case another request has completed the object with other last bytes
   * @throws MultipartNotFound when {@link lost}
   */
  async complete({ keepsTail = false } = {}): Promise<ObjectInfo & MoveSource> {
    await this.#allStored();
    if (this.#uploadId === undefined) {
      await this.#reloadSpills();
      this.#claim?.pin();
      return await this.#store.put(this.#key, this.tail, { metadata: this.metadata });
    }
    const { length } = this.#parts;
    if (keepsTail && this.#filled > 0) await this.#storeInMultipart(this.#nextNumber(), this.tail);
    else if (this.#tailSize > 0) await this.#startPart({ apart: false });
    await this.#allStored();
    const parts = [...this.#parts];
    this.#parts.length = length;
    if (this.#lost) throw new MultipartNotFound(this.#key);
    return { ...(await this.#store.completeMultipart(this.#key, this.#uploadId, parts)), parts };
  }

  /** Makes the tail a part that is apart, however small, and gives its memory back. */
  async storeTailAsObject(): Promise<void> {
    await this.#reloadSpills();
    this.#claim?.pin();
    if (this.#filled > 0) await this.#storeAsObject(this.#parts.length + 1, this.tail);
    this.close();
  }

  /** Gives the memory back. The tail is gone then. */
  close(): void {
    const buffer = this.#buffer;
    [this.#buffer, this.#filled] = [Buffer.alloc(0), 0];
    this.#claim?.release(buffer);
    this.#claim = undefined;
  }

  /** Throws away what this writer itself began. Best effort: a sweep finds what stays. */
  async discard(): Promise<void> {
    this.close();
    await Promise.all(this.#pending);
    await this.#deleteSpills(this.#spills);
    if (this.#createdKeys.length > 0) await this.#store.delete(this.#createdKeys).catch(() => undefined);
    if (this.#created && this.#uploadId !== undefined)
      await this.#store.abortMultipart(this.#key, this.#uploadId).catch(() => undefined);
  }

  #partSize(): number {
    return partSize(this.#store.limits, this.#parts, this.#length);
  }

  /** Bytes in no part yet, in memory or put aside. */
  get #tailSize(): number {
    return this.#filled + this.#spilled;
  }

  get #spilled(): number {
    return this.#spills.reduce((sum, { size }) => sum + size, 0);
  }

  /** Claims memory for what the part still lacks, of which all that is known is how much it is at most. */
  async #claimPart(): Promise<void> {
    // One for a resumed tail may be too small. Nobody waits for memory while holding some.
    if (this.#claim !== undefined) this.#spill();
    const stored = this.#parts.reduce((sum, { size }) => sum + size, 0) + this.#spilled;
    const most = Math.min(this.#partSize() - this.#spilled, (this.#length ?? Infinity) - stored);
    this.#claim = await this.#pool.claim(most);
    this.allowSpilling();
  }

  /** Without a claim the buffer grows with its content, so that small uploads stay small. */
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

  /** Puts the bytes in the buffer aside and gives its memory back. */
  #spill(): void {
    const [buffer, bytes, claim] = [this.#buffer, this.tail, this.#claim];
    [this.#buffer, this.#filled, this.#claim] = [Buffer.alloc(0), 0, undefined];
    claim?.pin();
    const key = this.#newKey();
    const stored = this.#runInBackground(this.#store.put(key, bytes), () => claim?.release(buffer));
    this.#spills.push({ key, size: bytes.byteLength, stored });
  }

  /** Brings the tail together in the buffer, if some of it was put aside. Holds no memory while it waits for more. */
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

  /** Hands the buffer to the store, as soon as that takes another part, and goes on with a new one. */
  async #startPart({ apart = this.#partsAreObjects } = {}): Promise<void> {
    await this.#reloadSpills();
    this.#claim?.pin();
    while (this.#pending.size >= this.#store.limits.parallelParts) await Promise.race(this.#pending);
    this.#throwFailure();
    const number = this.#nextNumber();
    const [buffer, bytes, claim] = [this.#buffer, this.tail, this.#claim];
    this.#parts.push({ number, etag: '', size: bytes.byteLength });
    [this.#buffer, this.#filled, this.#claim] = [Buffer.alloc(0), 0, undefined];
    const stored = apart ? this.#storeAsObject(number, bytes) : this.#storeInMultipart(number, bytes);
    void this.#runInBackground(stored, () => claim?.release(buffer));
  }

  /** @throws RegistryError SIZE_INVALID when there are as many parts as there may be */
  #nextNumber(): number {
    const { length } = this.#parts;
    if (length < this.#store.limits.maxParts) return length + 1;
    throw new RegistryError('SIZE_INVALID', `the storage takes no blob of more than ${length} parts`);
  }

  /** Lets something go on beside what follows, which its failure ends. @param release what it has taken */
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
    if (this.#lost) return;
    try {
      this.#uploadId ??= await (this.#upload ??= this.#create());
      this.#parts[number - 1] = await this.#store.uploadPart(this.#key, this.#uploadId, number, bytes);
    } catch (error) {
      if (!(error instanceof MultipartNotFound)) throw error;
      this.#lost = true;
    }
  }

  async #create(): Promise<string> {
    const uploadId = await this.#store.createMultipart(this.#key, { metadata: this.metadata });
    this.#created = true;
    return uploadId;
  }
}
