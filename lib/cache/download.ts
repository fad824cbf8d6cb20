import { Readable } from 'node:stream';
import { withTimeout } from '../concurrency/with-timeout.ts';
import type { ByteRange } from '../storage/store.ts';
import { UpstreamError } from '../upstream/upstream.ts';

/** Milliseconds that a reader which cannot follow waits for the end of the copy. */
const catchUpTimeoutMs = 15 * 60_000;

/** How a copy tells its readers what it does. */
export interface Progress {
  /** The number of bytes is known. */
  readonly opened: (size: number) => void;
  /** Some of them have come. Not called if all are in the bucket already. */
  received(bytes: Uint8Array): void;
}

export interface DownloadOptions {
  /** Copies the blob to the bucket, where it appears only once it is verified. */
  readonly copy: (progress: Progress) => Promise<void>;
  /** Opens the blob once it is stored. */
  readonly reopen: (size: number, range: ByteRange) => Promise<Readable | Buffer>;
  /** Bytes that are kept in memory for readers. Asked again as they arrive. */
  readonly windowBytes: () => number;
}

interface Piece {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/**
 * A blob on its way from an upstream to the bucket, and to any number of readers. The copy takes no notice of them: it neither ends with
 * them nor waits for them. A window of the last bytes is in memory. A reader that falls behind it, or begins behind it, waits for the end
 * of the copy and goes on from the bucket.
 */
export class Download implements Progress {
  /** Bytes of the whole blob. Rejects if the upstream does not give it. */
  readonly size: Promise<number>;
  /** Resolves once the blob is stored. */
  readonly done: Promise<void>;
  readonly opened: (size: number) => void;
  readonly #options: DownloadOptions;
  /** In their order; together they are the window. */
  readonly #pieces: Piece[] = [];
  #windowStart = 0;
  #received = 0;
  #isOver = false;
  #waiting = 0;
  readonly #readers = new Set<Readable>();
  #news = Promise.withResolvers<undefined>();

  constructor(options: DownloadOptions) {
    this.#options = options;
    const size = Promise.withResolvers<number>();
    this.size = size.promise;
    this.opened = size.resolve;
    this.done = this.#run(size.reject);
    // They may have no reader.
    this.size.catch(() => undefined);
    this.done.catch(() => undefined);
  }

  /** Whether a reader of all bytes can follow. */
  get hasBeginning(): boolean {
    return this.#windowStart === 0;
  }

  /** Whether anybody reads it, or waits for it. */
  get isRead(): boolean {
    for (const reader of this.#readers) if (reader.destroyed) this.#readers.delete(reader);
    return this.#waiting > 0 || this.#readers.size > 0;
  }

  /** Waits for something of it as a reader does. */
  async waitFor<T>(promise: Promise<T>): Promise<T> {
    this.#waiting++;
    try {
      return await promise;
    } finally {
      this.#waiting--;
    }
  }

  received(bytes: Uint8Array): void {
    this.#pieces.push({ start: this.#received, bytes });
    this.#received += bytes.byteLength;
    const most = this.#options.windowBytes();
    while (this.#received - this.#windowStart > most && this.#pieces.length > 1)
      this.#windowStart += this.#pieces.shift()?.bytes.byteLength ?? 0;
    this.#announce();
  }

  /** The bytes of a range, as they come. Its last ones are held back until the blob is verified and stored. */
  read(size: number, range: ByteRange = { start: 0 }): Readable {
    const reader = Readable.from(this.#read(size, range), { objectMode: false });
    this.#readers.add(reader);
    reader.once('close', () => this.#readers.delete(reader));
    return reader;
  }

  async #run(fail: (error: unknown) => void): Promise<void> {
    try {
      await this.#options.copy(this);
    } catch (error) {
      fail(error);
      throw error;
    } finally {
      this.#isOver = true;
      this.#announce();
    }
  }

  /** Wakes readers that have read all there is. */
  #announce(): void {
    this.#news.resolve(undefined);
    this.#news = Promise.withResolvers();
  }

  async *#read(size: number, { start, end = size - 1 }: ByteRange): AsyncGenerator<Uint8Array, void> {
    for (let at = start; at <= end;) {
      if (at < this.#windowStart || this.#isOver) {
        yield* this.#stored(size, { start: at, end });
        return;
      }
      const bytes = this.#bytesAt(at)?.subarray(0, end + 1 - at);
      if (bytes === undefined) await this.#news.promise;
      else {
        if (at + bytes.byteLength > end) await this.done;
        yield bytes;
        at += bytes.byteLength;
      }
    }
  }

  #bytesAt(at: number): Uint8Array | undefined {
    // Readers are mostly near the end.
    const piece = this.#pieces.findLast(({ start }) => start <= at);
    return piece === undefined || at >= this.#received ? undefined : piece.bytes.subarray(at - piece.start);
  }

  /** @throws what the copy failed with */
  async *#stored(size: number, range: ByteRange): AsyncGenerator<Uint8Array, void> {
    const late = () => new UpstreamError('unavailable', 'the copy takes too long');
    await withTimeout(this.done, catchUpTimeoutMs, late);
    const body = await this.#options.reopen(size, range);
    if (Buffer.isBuffer(body)) yield body;
    else yield* body as AsyncIterable<Buffer>;
  }
}
