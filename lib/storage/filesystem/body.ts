import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

import type { MemoryBudget } from '../memory-budget.ts';
import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { ReadSize } from '../read-ahead.ts';
import {
  type ByteRange,
  type ObjectInfo,
  type OpenedObject,
  RangeNotSatisfiable,
  StoreUnavailable,
} from '../store.ts';

/**
 * Limits the concurrent reads of a process. More would be no faster, and the results of a thousand downloads at once would
 * block the event loop. The queue needs no limit: each body has at most one read in it.
 */
const reads = new ConcurrencyLimit(8, {
  queueLimit: Infinity,
  timeoutMs: 60_000,
  busy: () => new Error('the read of a file timed out'),
});

/** A small object that was read whole. */
export class SmallObject implements OpenedObject {
  readonly key: string;
  readonly size: number;
  readonly lastModified: Date;
  readonly etag: string;
  readonly bytes: Buffer;

  /** @param bytes of the object, or of the range that was asked for */
  constructor({ key, size, lastModified, etag }: ObjectInfo, bytes: Buffer) {
    this.key = key;
    this.size = size;
    this.lastModified = lastModified;
    this.etag = etag;
    this.bytes = bytes;
  }

  /** Made only where it is needed, as a stream costs more than the read of such a file. */
  get body(): Readable {
    return new BytesBody(this.bytes);
  }
}

/** Streams bytes that are in memory. */
class BytesBody extends Readable {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    super();
    this.#bytes = bytes;
  }

  override _read(): void {
    if (this.#bytes.byteLength > 0) this.push(this.#bytes);
    this.push(null);
  }
}

/**
 * Streams a file from byte `start` up to but excluding `end`, then closes it. Where it is piped, as by a response, it has two buffers in
 * all: new ones cost more than the copy, since the kernel clears their pages. Any other reader gets a buffer for each read.
 */
export class FileBody extends Readable {
  readonly #key: string;
  readonly #handle: FileHandle;
  readonly #end: number;
  readonly #size: ReadSize;
  #position: number;
  /** A buffer that was sent. */
  #spare: Buffer | undefined;

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
    this.#next().then((chunk) => this.push(chunk), this.#fail);
  }

  /** Also what {@link pipeline} calls. */
  override pipe<T extends NodeJS.WritableStream>(destination: T, { end = true } = {}): T {
    if (end) this.once('end', () => destination.end());
    this.#sendTo(destination).then(() => {
      this.push(null);
      this.resume();
    }, this.#fail);
    return destination;
  }

  /** Reads a chunk while the last one is sent. */
  async #sendTo(destination: NodeJS.WritableStream): Promise<void> {
    let sent: Promise<void> | undefined;
    for (;;) {
      const chunk = await this.#next();
      await sent;
      if (chunk === null || this.destroyed) return;
      sent = new Promise((resolve) => {
        destination.write(chunk, () => {
          this.#spare = chunk;
          resolve();
        });
      });
    }
  }

  async #next(): Promise<Buffer | null> {
    if (this.#position >= this.#end) return null;
    return await reads.run(async () => await this.#read());
  }

  async #read(): Promise<Buffer> {
    const size = Math.min(this.#size.next(), this.#end - this.#position);
    const buffer = this.#spare?.byteLength === size ? this.#spare : Buffer.allocUnsafeSlow(size);
    this.#spare = undefined;
    const { bytesRead } = await this.#handle.read(buffer, 0, size, this.#position);
    if (bytesRead === 0) throw new Error(`the file ends at ${this.#position} bytes, not ${this.#end}`);
    this.#position += bytesRead;
    return bytesRead === size ? buffer : buffer.subarray(0, bytesRead);
  }

  readonly #fail = (error: unknown): void => {
    const message = `reading ${this.#key}: ${String(error)}`;
    this.destroy(new StoreUnavailable(this.#key, message, { cause: error }));
  };

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#size.end();
    this.#spare = undefined;
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

/** The bytes of a range: the first, and the one after the last. @throws RangeNotSatisfiable */
export function boundsOf(
  { key, size }: ObjectInfo,
  range: ByteRange | undefined,
): [start: number, end: number] {
  if (range === undefined) return [0, size];
  if (range.start >= size) throw new RangeNotSatisfiable(key, size);
  return [range.start, Math.min(range.end ?? Infinity, size - 1) + 1];
}
