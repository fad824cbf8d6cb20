import { canonicalAlgorithm, digestFrom, type Digest } from '../../protocol/digests.ts';
import { streamHash, type ContentHash } from './content-hash.ts';
import type { HashInThread, HashThread } from './hash-thread.ts';
import { blockBytes } from './part-sizes.ts';

/** Bytes of an upload from which on a thread hashes it: below, waking it takes longer than it saves. */
export const threadedBytes = 4 * 1024 * 1024;

/** The SHA-256 of an upload whose bytes are hashed where they are collected: by a thread if there are many and it is free. */
export class BlockHash {
  readonly #thread: HashThread;
  #inThread: HashInThread | undefined;
  /** Of this thread, if that is to hash. */
  #here: ContentHash | undefined;

  constructor(thread: HashThread) {
    this.#thread = thread;
  }

  /** Bytes to collect before they are hashed. */
  get blockBytes(): number {
    return this.#inThread === undefined && this.#here === undefined ? threadedBytes : blockBytes;
  }

  /** @returns undefined if the bytes are hashed, or else until when they must stay as they are */
  update(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#inThread === undefined && this.#here === undefined && bytes.byteLength >= threadedBytes)
      this.#inThread = this.#thread.take();
    if (this.#inThread !== undefined) return this.#inThread.update(bytes);
    this.#here ??= streamHash();
    this.#here.update(bytes);
    return undefined;
  }

  /**
   * The hash of all bytes. It can be continued only if no thread was needed.
   * @throws RegistryError UNAVAILABLE if the thread has failed
   */
  async finish(): Promise<ContentHash> {
    if (this.#inThread === undefined) return this.#here ?? streamHash();
    return finalHash(digestFrom(canonicalAlgorithm, await this.#inThread.digest()));
  }

  /** Frees the thread for others. Idempotent. */
  end(): void {
    this.#inThread?.end();
  }
}

function finalHash(digest: Digest): ContentHash {
  return {
    update: () => {
      throw new Error('this hash is final');
    },
    digest: () => digest,
    state: () => ({ kind: 'final', digest }),
  };
}
