/** Milliseconds from which on a clock counts as wrong: below, it is the time that answers take. */
const tolerance = 60_000;

/** The clock of a server, as its answers tell it: what is signed by this machine's would not hold where that is wrong. */
export class ServerClock {
  /** Milliseconds that the server's clock is ahead of this machine's; 0 where they agree. */
  offsetMs = 0;
  readonly #warn: (message: string) => void;
  #hasWarned = false;

  /** @param warn is told once how wrong this machine's clock is */
  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Takes the headers of an answer, names in lower case, when they have just come. */
  observe({ date, age }: Readonly<Record<string, string | undefined>>): void {
    const time = Date.parse(date ?? '');
    // A cache's answer is older than it is.
    if (Number.isNaN(time) || age !== undefined) return;
    const offset = time - Date.now();
    this.offsetMs = Math.abs(offset) < tolerance ? 0 : offset;
    if (this.offsetMs === 0 || this.#hasWarned) return;
    this.#hasWarned = true;
    const minutes = Math.round(Math.abs(offset) / 60_000);
    const side = offset > 0 ? 'behind' : 'ahead of';
    this.#warn(
      `this machine's clock is ${minutes} minute${minutes === 1 ? '' : 's'} ${side} that of the bucket's server, ` +
        'whose time is signed instead; set it',
    );
  }

  now(): Date {
    return new Date(Date.now() + this.offsetMs);
  }
}
