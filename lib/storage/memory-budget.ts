/** Memory for what can do without, or is refused where there is none: nobody waits for it. */
export class MemoryBudget {
  #free: number;

  /** @param bytes to share */
  constructor(bytes: number) {
    this.#free = bytes;
  }

  /** @returns whether so many bytes were free, and are taken now */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false;
    this.#free -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#free += bytes;
  }
}
