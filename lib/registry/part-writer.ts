import { RegistryError } from '../protocol/errors.ts';
import {
  MultipartNotFound,
  type ObjectInfo,
  type ObjectStore,
  type StoreLimits,
  type UploadedPart,
} from '../storage/store.ts';
import type { PartMemory } from './part-memory.ts';

/*
 * Sizes of parts. They double after each tenth of the parts an upload may have, so that these hold a hundred times what
 * they would at the first size: 8 TiB in 10,000 parts of 8 MiB and more.
 */

/** Most bytes of an upload that lie in its session for want of a part that large. */
export const maxTail = 64 * 1024 * 1024;

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
  return parts.length < maxParts / 2 ? minPartSize : Math.min(next, maxTail);
}

/** A multipart upload in progress: where it goes, and its parts so far. */
export interface Multipart {
  readonly key: string;
  readonly uploadId: string;
  readonly parts: readonly UploadedPart[];
}

export interface PartWriterOptions {
  readonly memory: PartMemory;
  /** Bytes the object will have, where that is known. */
  readonly length?: number | undefined;
  /** Of the object. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** An upload to go on with, and its bytes that are in no part yet. */
  readonly resume?: { readonly multipart: Multipart | undefined; readonly tail: Uint8Array };
}

/**
 * Takes bytes in pieces of any size and puts them into parts of the size a store wants, several at a time where that
 * helps it. What is too little for a part stays in memory: it is the `tail`.
 */
export class PartWriter {
  readonly #store: ObjectStore;
  readonly #key: string;
  readonly #memory: PartMemory;
  readonly #length: number | undefined;
  /** For the object, where the bytes become it without this writer. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By number, from 1. Those on their way have no ETag yet. */
  readonly #parts: UploadedPart[];
  #upload: Promise<string> | undefined;
  #uploadId: string | undefined;
  #lost = false;
  #created = false;
  #buffer: Buffer;
  #filled = 0;
  #spare: Buffer | undefined;
  readonly #underWay = new Set<Promise<void>>();
  /** Whether the one part is on its way that needs no shared memory. */
  #ownUsed = false;
  #failure: { readonly error: unknown } | undefined;

  /** @param key where the object will be, unless one is resumed */
  constructor(store: ObjectStore, key: string, { memory, length, metadata = {}, resume }: PartWriterOptions) {
    this.#store = store;
    this.#memory = memory;
    this.#length = length;
    this.metadata = metadata;
    this.#key = resume?.multipart?.key ?? key;
    this.#uploadId = resume?.multipart?.uploadId;
    this.#parts = [...(resume?.multipart?.parts ?? [])];
    this.#buffer = Buffer.alloc(0);
    if (resume !== undefined) this.#take(resume.tail);
  }

  /** The upload in progress, or undefined while all bytes are in the tail. To be asked when settled. */
  get multipart(): Multipart | undefined {
    return this.#uploadId === undefined
      ? undefined
      : { key: this.#key, uploadId: this.#uploadId, parts: [...this.#parts] };
  }

  /** Bytes in no part yet. A view: copy it to keep it. */
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

  /** Resolves when more may be written, which is not yet when all is stored. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.byteLength > 0;) {
      // A resumed tail may be more than a part, if the store's settings have changed meanwhile.
      const taken = Math.min(rest.byteLength, Math.max(0, this.#partSize() - this.#filled));
      this.#take(rest.subarray(0, taken));
      rest = rest.subarray(taken);
      if (this.#filled >= this.#partSize()) await this.#startPart();
    }
  }

  /** Waits for what is being stored. A tail that is large enough becomes a part, so that few bytes stay over. */
  async settle(): Promise<void> {
    if (this.#filled >= smallestPart(this.#store.limits, this.#parts)) await this.#startPart();
    await this.#allStored();
  }

  /**
   * Stores the rest and completes the object, in one write when all of it is in the tail.
   * @throws MultipartNotFound when {@link lost}
   */
  async complete(): Promise<ObjectInfo> {
    await this.#allStored();
    if (this.#uploadId === undefined)
      return await this.#store.put(this.#key, this.tail, { metadata: this.metadata });
    if (this.#filled > 0) await this.#startPart();
    await this.#allStored();
    if (this.#lost) throw new MultipartNotFound(this.#key);
    return await this.#store.completeMultipart(this.#key, this.#uploadId, this.#parts);
  }

  /** Throws away what this writer itself began. Best effort: a sweep finds what stays. */
  async discard(): Promise<void> {
    await Promise.all(this.#underWay);
    if (this.#created && this.#uploadId !== undefined)
      await this.#store.abortMultipart(this.#key, this.#uploadId).catch(() => undefined);
  }

  #partSize(): number {
    return partSize(this.#store.limits, this.#parts, this.#length);
  }

  /** The buffer grows with its content up to a part, so that small uploads stay small. */
  #take(bytes: Uint8Array): void {
    const needed = this.#filled + bytes.byteLength;
    if (needed > this.#buffer.byteLength) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#partSize(), 4 * needed)));
      this.#buffer.copy(larger, 0, 0, this.#filled);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#filled);
    this.#filled = needed;
  }

  /** Hands the buffer to the store and goes on with another, as soon as there is room for it. */
  async #startPart(): Promise<void> {
    const giveBack = await this.#room(this.#filled);
    const number = this.#parts.length + 1;
    if (number > this.#store.limits.maxParts) {
      giveBack();
      throw new RegistryError('SIZE_INVALID', `the storage takes no blob of more than ${number - 1} parts`);
    }
    const full = this.#buffer;
    const bytes = this.tail;
    this.#parts.push({ number, etag: '', size: bytes.byteLength });
    this.#buffer = this.#spare ?? this.#memory.buffer() ?? Buffer.alloc(0);
    this.#spare = undefined;
    this.#filled = 0;
    const stored = this.#storePart(number, bytes)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        giveBack(full);
        this.#underWay.delete(stored);
      });
    this.#underWay.add(stored);
  }

  /** Waits until one more part may be on its way. @returns what ends its claim */
  async #room(bytes: number): Promise<(used?: Buffer) => void> {
    for (;;) {
      this.#throwFailure();
      if (this.#underWay.size < this.#store.limits.parallelParts) {
        if (!this.#ownUsed) {
          this.#ownUsed = true;
          return (used) => {
            this.#ownUsed = false;
            this.#spare = used;
          };
        }
        if (this.#memory.take(bytes))
          return (used) => {
            this.#memory.give(bytes, used);
          };
      }
      await Promise.race(this.#underWay);
    }
  }

  async #allStored(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #storePart(number: number, bytes: Uint8Array): Promise<void> {
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
