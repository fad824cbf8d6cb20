export interface SemaphoreOptions {
  /** How many may wait. */
  readonly queueLimit: number;
  /** Milliseconds that one waits. */
  readonly timeoutMs: number;
  /** What one is told that waits for too long, or may not wait. */
  readonly busy: () => Error;
}

/** A number of places. Who finds none free waits for a while, in a queue that has a limit as well. */
export class Semaphore {
  #free: number;
  readonly #options: SemaphoreOptions;
  readonly #waiting = new Set<() => void>();

  constructor(count: number, options: SemaphoreOptions) {
    this.#free = count;
    this.#options = options;
  }

  /** Whether somebody waits. */
  get isContended(): boolean {
    return this.#waiting.size > 0;
  }

  /** Takes a place, which must be released. @throws what `busy` makes, when there was none in time or too many wait already */
  async acquire(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await this.#wait();
  }

  /** The place goes to the one that has waited longest. */
  release(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free++;
    else {
      this.#waiting.delete(next);
      next();
    }
  }

  /** Runs a task when there is a place for it. @throws what `busy` makes, as {@link acquire} does */
  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.acquire();
    try {
      return await task();
    } finally {
      this.release();
    }
  }

  async #wait(): Promise<void> {
    const { queueLimit, timeoutMs, busy } = this.#options;
    if (this.#waiting.size >= queueLimit) throw busy();
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(enter);
        reject(busy());
      }, timeoutMs);
      this.#waiting.add(enter);
    });
  }
}
