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
  /** In the order they came. */
  readonly #queue = new Set<Waiter>();

  /** How many hold it now. */
  get holders(): number {
    return this.#holders;
  }

  /** How many wait for it now. */
  get waiting(): number {
    return this.#queue.size;
  }

  /**
   * Waits for its turn, and holds the lock until {@link release}.
   * @param deadline on the clock of `performance.now()`; a lock that is free is taken even after it
   * @returns false when the lock was not to be had by then
   */
  async acquire(mode: LockMode, deadline: number): Promise<boolean> {
    if (this.#queue.size === 0 && this.#admits(mode)) {
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
    this.#queue.add(waiter);
    const giveUp = () => {
      this.#queue.delete(waiter);
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
    for (const first of this.#queue) {
      if (!this.#admits(first.mode)) return;
      this.#queue.delete(first);
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
