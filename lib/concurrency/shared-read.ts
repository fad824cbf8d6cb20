/**
 * Reads something once for all who ask for it meanwhile. A read that has begun is for nobody else: what it found may be
 * older than the question. So at any time one is under way, and one waits for it.
 */
export class SharedRead<T> {
  readonly #read: () => Promise<T>;
  #underWay: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | undefined;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** What was there after the call, or later. */
  async get(): Promise<T> {
    return await (this.#next ??= this.#begin());
  }

  async #begin(): Promise<T> {
    await this.#underWay.catch(() => undefined);
    this.#next = undefined;
    const reading = this.#read();
    this.#underWay = reading;
    return await reading;
  }
}
