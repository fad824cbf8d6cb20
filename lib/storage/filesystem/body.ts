import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

import type { MemoryBudget } from '../memory-budget.ts';
import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { ReadSize } from '../read-ahead.ts';
import { StoreUnavailable } from '../store.ts';

/**
 * Limits the concurrent reads of a process. More would be no faster, and the results of a thousand downloads at once would
 * block the event loop. The queue needs no limit: each body has at most one read in it.
 */
const reads = new ConcurrencyLimit(8, {
  queueLimit: Infinity,
  timeoutMs: 60_000,
  busy: () => new Error('the read of a file timed out'),
});

/** Streams a file from byte `start` up to but excluding `end`, then closes it. */
export class FileBody extends Readable {
  readonly #key: string;
  readonly #handle: FileHandle;
  readonly #end: number;
  readonly #size: ReadSize;
  #position: number;

  /** @param readAhead memory shared with other bodies */
  constructor(key: string, handle: FileHandle, start: number, end: number, readAhead: MemoryBudget) {
    // Reads one chunk ahead.
    super({ highWaterMark: 1 });
    this.#size = new ReadSize(readAhead);
    this.#key = key;
    this.#handle = handle;
    this.#position = start;
    this.#end = end;
  }

  override _read(): void {
    this.#next().then(
      (chunk) => this.push(chunk),
      (error: unknown) =>
        this.destroy(
          new StoreUnavailable(this.#key, `reading ${this.#key}: ${String(error)}`, { cause: error }),
        ),
    );
  }

  async #next(): Promise<Buffer | null> {
    if (this.#position >= this.#end) return null;
    return await reads.run(async () => await this.#read());
  }

  async #read(): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(Math.min(this.#size.next(), this.#end - this.#position));
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#position);
    if (bytesRead === 0) throw new Error(`the file ends at ${this.#position} bytes, not ${this.#end}`);
    this.#position += bytesRead;
    return buffer.subarray(0, bytesRead);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#size.end();
    this.#handle.close().then(
      () => {
        callback(error);
      },
      (fault: unknown) => {
        callback(error ?? (fault as Error));
      },
    );
  }
}
