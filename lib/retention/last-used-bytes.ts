import { DigestTable } from '../maintenance/collection/digest-table.ts';
import type { Digest } from '../protocol/digests.ts';

/** Of arrays, which grow. */
const initialLength = 64;

/** How much more than the limit is remembered before what is beyond is forgotten, which takes a sort. */
const slack = 1.5;

/**
 * Finds up to which use so many bytes were used last. Each blob and manifest counts once, at its last use, whatever has it. In memory
 * are some 250 bytes for each that stays.
 */
export class LastUsedBytes {
  readonly #limit: number;
  #table = new DigestTable();
  #sizes = new Float64Array(initialLength);
  #used = new Float64Array(initialLength);
  #total = 0;
  /** What was used before does not stay, whatever else comes. */
  #since = -Infinity;

  /** @param limit bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts bytes of a digest, perhaps again. @param used whole milliseconds since 1970 */
  add(digest: Digest, size: number, used: number): void {
    if (used < this.#since) return;
    const known = this.#table.size;
    const number = this.#table.add(digest);
    if (number < known) {
      this.#used[number] = Math.max(used, this.#used[number] ?? used);
      return;
    }
    if (number >= this.#used.length) {
      this.#sizes = longer(this.#sizes);
      this.#used = longer(this.#used);
    }
    this.#sizes[number] = size;
    this.#used[number] = used;
    this.#total += size;
    if (this.#total > slack * this.#limit) this.#forget();
  }

  /** The earliest use, in milliseconds since 1970, since which no more bytes were used than the limit. */
  since(): number {
    if (this.#total > this.#limit) this.#forget();
    return this.#since;
  }

  /** Forgets what is beyond the limit: it stays so, since no use becomes earlier. */
  #forget(): void {
    const [table, sizes, used] = [this.#table, this.#sizes, this.#used];
    const usedAt = (number: number) => used[number] ?? 0;
    // Typed, since there may be millions.
    const latestFirst = new Uint32Array(table.size).map((_, number) => number);
    latestFirst.sort((a, b) => usedAt(b) - usedAt(a));
    let bytes = 0;
    const beyond = latestFirst.findIndex((number) => (bytes += sizes[number] ?? 0) > this.#limit);
    const first = latestFirst[beyond];
    if (first === undefined) return;
    // What was used at the same time goes together.
    this.#since = usedAt(first) + 1;
    this.#table = new DigestTable();
    this.#sizes = new Float64Array(initialLength);
    this.#used = new Float64Array(initialLength);
    this.#total = 0;
    for (const number of latestFirst.subarray(0, beyond))
      if (usedAt(number) >= this.#since) this.add(table.get(number), sizes[number] ?? 0, usedAt(number));
  }
}

function longer(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const twice = new Float64Array(values.length * 2);
  twice.set(values);
  return twice;
}
