import type { Digest } from '../protocol/digests.ts';

/**
 * Manifests by their digest, which says all about their bytes: they never change. The least recently used go first.
 * Whether a repository has a manifest is another question, and not answered here.
 */
export class ManifestCache {
  readonly #capacity: number;
  /** In the order of their last use. */
  readonly #entries = new Map<Digest, Buffer>();
  #size = 0;

  /** @param capacity in bytes */
  constructor(capacity = 16 * 1024 * 1024) {
    this.#capacity = capacity;
  }

  get(digest: Digest): Buffer | undefined {
    const bytes = this.#entries.get(digest);
    if (bytes === undefined) return undefined;
    this.#entries.delete(digest);
    this.#entries.set(digest, bytes);
    return bytes;
  }

  /** @param bytes whose digest was computed */
  set(digest: Digest, bytes: Uint8Array): void {
    if (bytes.byteLength > this.#capacity || this.#entries.has(digest)) return;
    this.#entries.set(digest, Buffer.from(bytes));
    this.#size += bytes.byteLength;
    for (const [oldest, { byteLength }] of this.#entries) {
      if (this.#size <= this.#capacity) return;
      this.#entries.delete(oldest);
      this.#size -= byteLength;
    }
  }
}
