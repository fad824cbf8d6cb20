import { finished, type Readable } from 'node:stream';

/** Bytes that may wait to be taken before a stream is paused: what one read of a socket gives. */
const maxWaitingBytes = 64 * 1024;

/**
 * The pieces of a stream, each in the memory that it arrived in. The iterator of a stream copies those that arrive together into
 * one, and leaves them to V8's collector: a large body made it run for every 16 MiB.
 */
export class Pieces {
  readonly #stream: Readable;
  readonly #stopWatching: () => void;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Whether the stream has ended. */
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(stream: Readable) {
    this.#stream = stream;
    this.#stopWatching = finished(stream, { writable: false }, (error) => {
      this.#ended = true;
      if (error) this.#failure = { error };
      this.#wake?.();
    });
    stream.on('data', this.#add);
    // It is paused if someone has waited for it to be readable.
    stream.resume();
  }

  /** A piece that has arrived already. */
  take(): Buffer | undefined {
    const piece = this.#waiting.shift();
    if (piece === undefined) return undefined;
    this.#waitingBytes -= piece.byteLength;
    if (this.#waitingBytes === 0 && this.#stream.isPaused()) this.#stream.resume();
    return piece;
  }

  /** Waits for the next piece, or for the end of the stream. Rejects if that breaks off. */
  async next(): Promise<Buffer | undefined> {
    while (this.#waiting.length === 0 && !this.#ended)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.take();
  }

  /** Leaves the rest of the stream unread. */
  end(): void {
    this.#stopWatching();
    this.#stream.off('data', this.#add).pause();
  }

  readonly #add = (piece: Buffer): void => {
    this.#waiting.push(piece);
    this.#waitingBytes += piece.byteLength;
    if (this.#waitingBytes >= maxWaitingBytes) this.#stream.pause();
    this.#wake?.();
  };
}
