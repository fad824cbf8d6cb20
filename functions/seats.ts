import { RegistryError } from '../lib/protocol/errors.ts';

/** So many may be in at once; others wait in line for a while. */
export class Seats {
  #free: number;
  readonly #patience: number;
  readonly #line: (() => void)[] = [];

  /** @param patience milliseconds in line */
  constructor(count: number, patience: number) {
    this.#free = count;
    this.#patience = patience;
  }

  /**
   * Does something with a seat taken.
   * @throws RegistryError BUSY when none became free in time
   */
  async during<T>(act: () => Promise<T>): Promise<T> {
    await this.#take();
    try {
      return await act();
    } finally {
      this.#leave();
    }
  }

  async #take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#line.splice(this.#line.indexOf(enter), 1);
        reject(new RegistryError('BUSY'));
      }, this.#patience);
      this.#line.push(enter);
    });
  }

  /** The seat goes to the first in line. */
  #leave(): void {
    const next = this.#line.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
