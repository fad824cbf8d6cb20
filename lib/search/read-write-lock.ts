/** How a lock is held: by any number at once, or by one alone. */
export type LockMode = 'shared' | 'exclusive';

interface Waiter {
  readonly mode: LockMode;
  readonly admit: () => void;
}

/**
 * A readers-writer lock within a process, first come, first served: whoever wants it alone goes before those that come
 * later and want it shared, and after those that came before.
 */
export class ReadWriteLock {
  #holders = 0;
  #exclusive = false;
  #queue: Waiter[] = [];

  /** How many hold it now. */
  get holders(): number {
    return this.#holders;
  }

  /**
   * Waits for its turn, and holds the lock until {@link release}.
   * @param deadline on the clock of `performance.now()`; a lock that is free is taken even after it
   * @returns false when the lock was not to be had by then
   */
  async acquire(mode: LockMode, deadline: number): Promise<boolean> {
    if (this.#queue.length === 0 && this.#admits(mode)) {
      this.#enter(mode);
      return true;
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter: Waiter = {
      mode,
      admit: () => {
        resolve(true);
      },
    };
    this.#queue.push(waiter);
    const giveUp = () => {
      this.#queue = this.#queue.filter((one) => one !== waiter);
      // It may have been the only one in the way of those behind it.
      this.#advance();
      resolve(false);
    };
    const timer = setTimeout(giveUp, Math.max(0, deadline - performance.now()));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends one hold, and lets in whose turn it is. */
  release(): void {
    this.#holders--;
    this.#exclusive = false;
    this.#advance();
  }

  #advance(): void {
    for (
      let first = this.#queue[0];
      first !== undefined && this.#admits(first.mode);
      first = this.#queue[0]
    ) {
      this.#queue.shift();
      this.#enter(first.mode);
      first.admit();
    }
  }

  #admits(mode: LockMode): boolean {
    return mode === 'shared' ? !this.#exclusive : this.#holders === 0;
  }

  #enter(mode: LockMode): void {
    this.#holders++;
    this.#exclusive = mode === 'exclusive';
  }
}
