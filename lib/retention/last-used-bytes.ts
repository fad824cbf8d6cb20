import { DigestTable } from '../maintenance/collection/digest-table.ts';
import type { Digest } from '../protocol/digests.ts';

/**
 * Finds up to which use so many bytes were used last. Each blob and manifest counts once, at its last use, whatever has it. In memory
 * are some 80 bytes for each that stays, and as many again.
 */
export class LastUsedBytes {
  readonly #limit: number;
  #table = new DigestTable();
  #sizes = new Float64Array(64);
  #used = new Float64Array(64);
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
    if (this.#total > 2 * this.#limit) this.#forget();
  }

  /** The earliest use, in milliseconds since 1970, since which no more bytes were used than the limit. */
  since(): number {
    if (this.#total > this.#limit) this.#forget();
    return this.#since;
  }

  /** Forgets what is beyond the limit: it stays so, since no use becomes earlier. */
  #forget(): void {
    const numbers = Array.from({ length: this.#table.size }, (_, number) => number);
    const used = (number: number) => this.#used[number] ?? 0;
    const size = (number: number) => this.#sizes[number] ?? 0;
    numbers.sort((a, b) => used(b) - used(a));
    let [bytes, at] = [0, 0];
    for (; at < numbers.length; at++) {
      bytes += size(numbers[at] ?? 0);
      if (bytes > this.#limit) break;
    }
    if (at === numbers.length) return;
    // What was used at the same time goes together.
    const last = used(numbers[at] ?? 0);
    this.#since = last + 1;
    const kept = numbers
      .slice(0, at)
      .filter((number) => used(number) > last)
      .map((number) => [this.#table.get(number), size(number), used(number)] as const);
    this.#table = new DigestTable();
    this.#total = 0;
    for (const one of kept) this.add(...one);
  }
}

function longer(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const twice = new Float64Array(values.length * 2);
  twice.set(values);
  return twice;
}
