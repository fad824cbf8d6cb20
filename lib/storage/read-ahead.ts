import { MemoryBudget } from './memory-budget.ts';

/** Bytes of a read for a reader of which nothing is known: many slow ones must fit into memory. */
export const smallestRead = 16 * 1024;

/** And for one that takes them at once: enough for the speed of a disk. */
const largestRead = 512 * 1024;

/** Milliseconds within which a reader has taken a piece that is fast, and after which it is slow. */
const fastMs = 100;
const slowMs = 1_000;

/** Pieces in memory for one reader: one is on its way, and the next one is read. */
const pieces = 2;

/** Bytes that all readers of a process may have in memory beyond the smallest reads. */
const sharedBytes = 32 * 1024 * 1024;

/** What the reads of a process share of memory. */
export function readAheadBudget(): MemoryBudget {
  return new MemoryBudget(sharedBytes);
}

/** The size of the reads for one reader, which follows how fast it takes them. */
export class ReadSize {
  readonly #shared: MemoryBudget;
  #bytes = smallestRead;
  #readAt = -Infinity;

  constructor(shared: MemoryBudget) {
    this.#shared = shared;
  }

  /** Bytes of the read that begins now. */
  next(): number {
    const now = performance.now();
    const taken = now - this.#readAt;
    this.#readAt = now;
    if (taken > slowMs) this.end();
    else if (taken < fastMs && this.#bytes < largestRead && this.#shared.take(pieces * this.#bytes))
      this.#bytes *= 2;
    return this.#bytes;
  }

  /** Gives back what it has of the shared memory. */
  end(): void {
    this.#shared.give(pieces * (this.#bytes - smallestRead));
    this.#bytes = smallestRead;
  }
}
