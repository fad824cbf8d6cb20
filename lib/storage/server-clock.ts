import { responseTimeMs } from './s3/client/response-time.ts';

/** Smaller differences count as the latency of responses. */
const toleranceMs = 60_000;

/** S3 refuses signatures that are 15 minutes old; a refusal may have taken some of them. */
const refusedMs = 4 * 60_000;

/** Headers of a response that has just arrived; their names are in lower case. */
type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** A server's clock, derived from its responses. A signature made with a wrong local clock would be refused. */
export class ServerClock {
  /** Milliseconds that the server's clock is ahead of the local one; 0 within the tolerance. */
  offsetMs = 0;
  #latest: { readonly timeMs: number; readonly readAtMs: number } | undefined;
  readonly #warn: (message: string) => void;
  #hasWarned = false;

  /** @param warn called once if the local clock is wrong */
  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /**
   * The server's time by its latest response and this machine's monotonic clock, which may have stopped since; undefined before the
   * first one. Never later than the server's time, however the local clock is set.
   */
  get leastTimeMs(): number | undefined {
    if (this.#latest === undefined) return undefined;
    return this.#latest.timeMs + performance.now() - this.#latest.readAtMs;
  }

  /** Reads the clock from a success: a refusal may come from a proxy. */
  observe(headers: Headers): void {
    const timeMs = responseTimeMs(headers);
    if (timeMs !== undefined) this.#latest = { timeMs, readAtMs: performance.now() };
    const offset = offsetOf(headers);
    if (offset === undefined) return;
    this.offsetMs = Math.abs(offset) < toleranceMs ? 0 : offset;
    if (this.offsetMs === 0 || this.#hasWarned) return;
    this.#hasWarned = true;
    const minutes = Math.round(Math.abs(offset) / 60_000);
    const side = offset > 0 ? 'behind' : 'ahead of';
    this.#warn(
      `this machine's clock is ${minutes} minute${minutes === 1 ? '' : 's'} ${side} the clock of the bucket's server; ` +
        "requests are signed with the server's time; set this machine's clock",
    );
  }

  /**
   * Reads the clock from a refusal, which may be due to a wrong time.
   * @param signedOffsetMs the offset by which the refused request was signed
   * @returns whether that was wrong by minutes, so that another attempt makes sense
   */
  correct(headers: Headers, signedOffsetMs: number): boolean {
    const offset = offsetOf(headers);
    if (offset === undefined || Math.abs(offset - signedOffsetMs) < refusedMs) return false;
    this.offsetMs = offset;
    return true;
  }
}

function offsetOf(headers: Headers): number | undefined {
  // A cached response is old.
  const timeMs = headers['age'] === undefined ? responseTimeMs(headers) : undefined;
  return timeMs === undefined ? undefined : timeMs - Date.now();
}
