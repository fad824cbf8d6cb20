/** A shared amount of memory. A request for more than is free fails at once; no caller waits. */
export class MemoryBudget {
  readonly #bytes: number;
  #free: number;

  /** @param bytes to share */
  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#free = bytes;
  }

  /** Whether more than three quarters of it are free. */
  get isPlentiful(): boolean {
    return 4 * this.#free > 3 * this.#bytes;
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
