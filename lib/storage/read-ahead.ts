import { share } from '../concurrency/share.ts';
import { lendBuffer } from './free-buffer.ts';
import { MemoryBudget } from './memory-budget.ts';

/** Initial size of a read in bytes. Small, so that many slow readers fit into memory. */
export const minReadSize = 16 * 1024;

/** Size of a read in bytes for a fast reader: enough for the speed of a disk, or of a network. */
const maxReadSize = 512 * 1024;

/** A reader is fast below the first time per read and slow above the second. */
const fastMs = 100;
const slowMs = 1_000;

/**
 * Bytes read before reads may grow beyond {@link earlyReadSize}: more than system buffers absorb for a client that reads nothing. Most
 * layers have fewer, so reads grow to that size at once, but only while memory is plentiful: clients that stop reading can keep at most
 * a quarter of it.
 */
const growthThresholdBytes = 12 * 1024 * 1024;
const earlyReadSize = 128 * 1024;

/** Bytes for all reads beyond the minimum size. */
const sharedBytes = 32 * 1024 * 1024;

/** The memory that all reads of a process share. @param workers that share it */
export function readAheadBudget(workers: number): MemoryBudget {
  return new MemoryBudget(share(sharedBytes, workers));
}

/** The sizes of reads of bodies from a bucket. @param workers that share their memory */
export function largeReads(workers: number): {
  least: number;
  lend: typeof lendBuffer;
  start: () => ReadSize;
} {
  const shared = readAheadBudget(workers);
  return { least: minReadSize, lend: lendBuffer, start: () => new ReadSize(shared) };
}

/** Adapts the size of reads to the speed of their reader. */
export class ReadSize {
  readonly #shared: MemoryBudget;
  /** Size of the last read, still in memory while the next one runs. */
  #last = minReadSize;
  #claimed = 0;
  #passed = 0;
  #readAt = -Infinity;

  constructor(shared: MemoryBudget) {
    this.#shared = shared;
  }

  /** The size in bytes of the read that starts now. */
  next(): number {
    const size = [this.#wanted(), this.#last].find((bytes) => this.#claim(bytes)) ?? minReadSize;
    if (size === minReadSize) this.#claim(size);
    this.#last = size;
    this.#passed += size;
    return size;
  }

  /** Returns its share of the memory. */
  end(): void {
    this.#shared.give(this.#claimed);
    this.#claimed = 0;
  }

  #wanted(): number {
    const now = performance.now();
    const taken = now - this.#readAt;
    this.#readAt = now;
    if (taken > slowMs) return minReadSize;
    if (taken >= fastMs) return this.#last;
    if (this.#passed > growthThresholdBytes) return Math.min(2 * this.#last, maxReadSize);
    return this.#shared.isPlentiful
      ? Math.max(this.#last, Math.min(2 * this.#last, earlyReadSize))
      : this.#last;
  }

  /** @returns whether the memory suffices for a read of this size beside the last one */
  #claim(bytes: number): boolean {
    const more = this.#last + bytes - 2 * minReadSize - this.#claimed;
    if (more > 0 && !this.#shared.take(more)) return false;
    if (more < 0) this.#shared.give(-more);
    this.#claimed += more;
    return true;
  }
}
