import { MemoryBudget } from './memory-budget.ts';

/** Bytes of a read for a reader of which nothing is known: many slow ones must fit into memory. */
export const minReadSize = 16 * 1024;

/** And for one that takes them at once: enough for the speed of a disk. */
const largestRead = 512 * 1024;

/** Milliseconds within which a reader has taken a piece that is fast, and after which it is slow. */
const fastMs = 100;
const slowMs = 1_000;

/**
 * Bytes that a reader must have taken before its reads grow: more than a system's buffers take of a client that reads
 * nothing.
 */
const growsAfter = 12 * 1024 * 1024;

/** Bytes that all readers of a process may have in memory beyond the smallest reads. */
const sharedBytes = 32 * 1024 * 1024;

/** What the reads of a process share of memory. */
export function readAheadBudget(): MemoryBudget {
  return new MemoryBudget(sharedBytes);
}

/** The size of the reads for one reader, which follows how fast it takes them. */
export class ReadSize {
  readonly #shared: MemoryBudget;
  /** Of the last read, which is on its way to the reader while the next one is made. */
  #last = minReadSize;
  #claimed = 0;
  #passed = 0;
  #readAt = -Infinity;

  constructor(shared: MemoryBudget) {
    this.#shared = shared;
  }

  /** Bytes of the read that begins now. */
  next(): number {
    const size = [this.#wanted(), this.#last].find((bytes) => this.#claim(bytes)) ?? minReadSize;
    if (size === minReadSize) this.#claim(size);
    this.#last = size;
    this.#passed += size;
    return size;
  }

  /** Gives back what it has of the shared memory. */
  end(): void {
    this.#shared.give(this.#claimed);
    this.#claimed = 0;
  }

  #wanted(): number {
    const now = performance.now();
    const taken = now - this.#readAt;
    this.#readAt = now;
    if (taken > slowMs) return minReadSize;
    return taken < fastMs && this.#passed > growsAfter ? Math.min(2 * this.#last, largestRead) : this.#last;
  }

  /** @returns whether there is memory for a read of so many bytes beside the last one */
  #claim(bytes: number): boolean {
    const more = this.#last + bytes - 2 * minReadSize - this.#claimed;
    if (more > 0 && !this.#shared.take(more)) return false;
    if (more < 0) this.#shared.give(-more);
    this.#claimed += more;
    return true;
  }
}
