/**
 * Coalesces concurrent reads. A caller never joins a read in progress, whose result may be stale; it shares the next one,
 * which starts when that ends.
 */
export class CoalescedRead<T> {
  readonly #read: () => Promise<T>;
  #inProgress: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | undefined;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** The result of a read that starts after the call. */
  async get(): Promise<T> {
    return await (this.#next ??= this.#start());
  }

  async #start(): Promise<T> {
    await this.#inProgress.catch(() => undefined);
    this.#next = undefined;
    const reading = this.#read();
    this.#inProgress = reading;
    return await reading;
  }
}
