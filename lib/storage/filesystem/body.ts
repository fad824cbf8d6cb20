import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

import type { MemoryBudget } from '../memory-budget.ts';
import { Semaphore } from '../../concurrency/semaphore.ts';
import { ReadSize } from '../read-ahead.ts';
import { StoreUnavailable } from '../store.ts';

/**
 * Reads of files under way in a process. More of them would be no faster, but all that end while it is busy are gone on with
 * at once, and a thousand downloads would keep it from anything else for that long. Each body has one that waits at most.
 */
const reads = new Semaphore(8, {
  queueLimit: Infinity,
  timeoutMs: 60_000,
  busy: () => new Error('other reads of files did not end in time'),
});

/** Streams bytes `start` up to, but without, `end` of a file, and closes it. */
export class FileBody extends Readable {
  readonly #key: string;
  readonly #handle: FileHandle;
  readonly #end: number;
  readonly #size: ReadSize;
  #position: number;

  /** @param readAhead what it shares with others */
  constructor(key: string, handle: FileHandle, start: number, end: number, readAhead: MemoryBudget) {
    // The next piece is read while one is on its way.
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
