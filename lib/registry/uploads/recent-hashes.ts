import type { Digest } from '../../protocol/digests.ts';
import type { ContentHash, CopyableHash } from './content-hash.ts';

/** Uploads whose hashes are kept. One takes less than a kilobyte. */
const maxHashes = 256;

/** A hash after the first bytes of an upload. */
export interface RecentHash {
  readonly offset: number;
  readonly hash: CopyableHash;
}

/**
 * The hashes of uploads that this process has received a chunk of, by upload id. A hint: the session tells the digest of all bytes,
 * and a hash that is missing or has another one is computed again from the stored bytes.
 */
export class RecentHashes {
  /** Oldest first. */
  readonly #hashes = new Map<string, RecentHash>();

  keep(id: string, offset: number, hash: ContentHash): void {
    this.#hashes.delete(id);
    if (!canCopy(hash)) return;
    this.#hashes.set(id, { offset, hash });
    const [oldest] = this.#hashes.keys();
    if (this.#hashes.size > maxHashes && oldest !== undefined) this.#hashes.delete(oldest);
  }

  forget(id: string): void {
    this.#hashes.delete(id);
  }

  /**
   * A hash to continue from.
   * @param digest of the first `offset` bytes
   * @returns one after these bytes, or else after fewer, which may be others
   */
  find(id: string, offset: number, digest: Digest): RecentHash | undefined {
    const known = this.#hashes.get(id);
    if (known === undefined || known.offset > offset) return undefined;
    if (known.offset === offset && known.hash.digest() !== digest) return undefined;
    return { offset: known.offset, hash: known.hash.copy() };
  }
}

function canCopy(hash: ContentHash): hash is CopyableHash {
  return 'copy' in hash;
}
