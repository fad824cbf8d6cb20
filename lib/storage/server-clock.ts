/** Smaller differences count as the latency of responses. */
const toleranceMs = 60_000;

/** A server's clock, derived from its responses. A signature made with a wrong local clock would be refused. */
export class ServerClock {
  /** Milliseconds that the server's clock is ahead of the local one; 0 within the tolerance. */
  offsetMs = 0;
  readonly #warn: (message: string) => void;
  #hasWarned = false;

  /** @param warn called once if the local clock is wrong */
  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Reads the clock from the headers of a response that has just arrived; their names are in lower case. */
  observe({ date, age }: Readonly<Record<string, string | undefined>>): void {
    const time = Date.parse(date ?? '');
    // A cached response is old.
    if (Number.isNaN(time) || age !== undefined) return;
    const offset = time - Date.now();
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

  now(): Date {
    return new Date(Date.now() + this.offsetMs);
  }
}
