/** A shared amount of memory. A request for more than is free fails at once; no caller waits. */
export class MemoryBudget {
  readonly #bytes: number;
  #free: number;

  /** @param bytes to share */
  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#free = bytes;
  }

  /** Whether more than half of it is free. */
  get isPlentiful(): boolean {
    return 2 * this.#free > this.#bytes;
  }

  /** @returns false, with nothing taken, if fewer bytes are free */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false;
    this.#free -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#free += bytes;
  }
}
