import { digestFrom, digestParts, type Digest } from '../../protocol/digests.ts';

/** Bytes of a SHA-256. */
const width = 32;

/**
 * Numbers digests from 0, in the order in which they are added. A digest takes some 60 bytes, where a `Map` of texts would take 200:
 * a repository may have millions.
 */
export class DigestTable {
  /** The SHA-256 of each number; zeros for those of other algorithms, which are rare. */
  #hashes = Buffer.alloc(64 * width);
  /** A hash table with open addressing: numbers plus one, so that 0 is an empty place. At most half of it is used. */
  #places = new Uint32Array(128);
  readonly #others = new Map<Digest, number>();
  readonly #otherOf = new Map<number, Digest>();
  readonly #wanted = Buffer.alloc(width);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns its number, which is new if the digest is */
  add(digest: Digest): number {
    return this.find(digest) ?? this.#append(digest);
  }

  find(digest: Digest): number | undefined {
    const { algorithm, hex } = digestParts(digest);
    if (algorithm !== 'sha256') return this.#others.get(digest);
    this.#wanted.write(hex, 'hex');
    const found = this.#places[this.#placeOf(this.#wanted)] ?? 0;
    return found === 0 ? undefined : found - 1;
  }

  /** The digest with a number that {@link add} has returned. */
  get(number: number): Digest {
    return (
      this.#otherOf.get(number) ??
      digestFrom('sha256', this.#hashes.toString('hex', number * width, (number + 1) * width))
    );
  }

  #append(digest: Digest): number {
    const number = this.#size++;
    if ((number + 1) * width > this.#hashes.length)
      this.#hashes = Buffer.concat([this.#hashes], this.#hashes.length * 2);
    if (digest.startsWith('sha256:')) {
      if (this.#size * 2 > this.#places.length) this.#grow();
      this.#hashes.write(digestParts(digest).hex, number * width, 'hex');
      this.#insert(number);
    } else {
      this.#others.set(digest, number);
      this.#otherOf.set(number, digest);
    }
    return number;
  }

  #grow(): void {
    this.#places = new Uint32Array(this.#places.length * 2);
    for (let number = 0; number < this.#size - 1; number++)
      if (!this.#otherOf.has(number)) this.#insert(number);
  }

  #insert(number: number): void {
    const at = number * width;
    this.#places[this.#placeOf(this.#hashes.subarray(at, at + width))] = number + 1;
  }

  /** The place of a hash, or the empty one where it belongs. */
  #placeOf(hash: Buffer): number {
    const mask = this.#places.length - 1;
    // The bytes of a hash are random, so any of them will do. Not the first: partitions have those in common.
    for (let place = hash.readUInt32LE(4) & mask; ; place = (place + 1) & mask) {
      const number = (this.#places[place] ?? 0) - 1;
      if (number < 0) return place;
      if (this.#hashes.compare(hash, 0, width, number * width, (number + 1) * width) === 0) return place;
    }
  }
}
