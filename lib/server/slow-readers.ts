import type { Limits } from '../http/limits.ts';

/** Something that a client reads: a connection, or a stream of HTTP/2. */
export interface Reader {
  /** Bytes that the client has taken. */
  readonly sent: number;
  /** Bytes that wait for the client. */
  readonly waiting: number;
  /** Whether it has only a quarter of the time, since others need its place. */
  readonly isUrgent?: boolean;
  cut(): void;
}

/**
 * Cuts what clients read below the minimum rate, since unread bytes stay in memory. Only time in which bytes wait for the client
 * counts, and not time in which this process was busy.
 */
export class SlowReaders {
  readonly #readers = new Map<Reader, { sent: number; waitedMs: number }>();
  readonly #rate: Limits['responseRate'];
  readonly #timer: NodeJS.Timeout;
  #checked = performance.now();

  constructor(rate: Limits['responseRate']) {
    this.#rate = rate;
    this.#timer = setInterval(() => {
      this.#check();
    }, this.#intervalMs).unref();
  }

  /** @returns a function that ends the watch */
  watch(reader: Reader): () => void {
    this.#readers.set(reader, { sent: 0, waitedMs: 0 });
    return () => void this.#readers.delete(reader);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get #intervalMs(): number {
    return this.#rate.withinMs / 8;
  }

  #check(): void {
    const { bytes, withinMs } = this.#rate;
    const passedMs = Math.min(performance.now() - this.#checked, this.#intervalMs);
    this.#checked = performance.now();
    for (const [reader, state] of this.#readers) {
      const { sent, waiting } = reader;
      if (waiting === 0 || sent - state.sent >= bytes) {
        state.sent = sent;
        state.waitedMs = 0;
      } else if ((state.waitedMs += passedMs) >= (reader.isUrgent === true ? withinMs / 4 : withinMs))
        reader.cut();
    }
  }
}
