import { digestParts, type Digest } from '../../protocol/digests.ts';

/** Digests of one list: 128 MB. */
const maxDigests = 8_000_000;

/** Bytes of a number. */
const width = 8;

/** Bytes by which a list grows. */
const step = 64 * 1024;

/**
 * The first digits of a digest that are kept, which are as many as a number holds. That one of eight million others begins with
 * the same digits happens to one digest of 500 million.
 */
const digits = 13;

/**
 * A list of SHA-256 digests, each with a number, in 16 bytes a digest. It is filled in order, as listings are. Digests that come out
 * of order, those of other algorithms, and those beyond the limit are left out: what it does not have must be looked up in the bucket.
 */
export class SortedDigests {
  readonly #limit: number;
  readonly #keys: Numbers;
  readonly #values: Numbers;
  #length = 0;
  #last = -1;

  constructor(limit = maxDigests) {
    this.#limit = limit;
    this.#keys = new Numbers(limit);
    this.#values = new Numbers(limit);
  }

  /** Forgets all of them; their memory is kept for others. */
  clear(): void {
    this.#length = 0;
    this.#last = -1;
  }

  append(digest: Digest, value: number): void {
    const key = keyOf(digest);
    if (key === undefined || key <= this.#last || this.#length === this.#limit) return;
    this.#keys.set(this.#length, key);
    this.#values.set(this.#length, value);
    this.#length += 1;
    this.#last = key;
  }

  /** The number of a digest; undefined if it is not in the list. */
  get(digest: Digest): number | undefined {
    const key = keyOf(digest);
    if (key === undefined) return undefined;
    let [low, high] = [0, this.#length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#keys.get(middle) < key) low = middle + 1;
      else high = middle;
    }
    return low < this.#length && this.#keys.get(low) === key ? this.#values.get(low) : undefined;
  }
}

/** Numbers, whose memory grows with them. */
class Numbers {
  readonly #buffer: ArrayBuffer;
  /** Grows with its buffer. */
  readonly #numbers: Float64Array;

  constructor(limit: number) {
    this.#buffer = new ArrayBuffer(0, { maxByteLength: limit * width });
    this.#numbers = new Float64Array(this.#buffer);
  }

  get(at: number): number {
    return this.#numbers[at] ?? NaN;
  }

  set(at: number, number: number): void {
    const { byteLength, maxByteLength } = this.#buffer;
    if ((at + 1) * width > byteLength) this.#buffer.resize(Math.min(byteLength + step, maxByteLength));
    this.#numbers[at] = number;
  }
}

function keyOf(digest: Digest): number | undefined {
  const { algorithm, hex } = digestParts(digest);
  return algorithm === 'sha256' ? parseInt(hex.slice(0, digits), 16) : undefined;
}
