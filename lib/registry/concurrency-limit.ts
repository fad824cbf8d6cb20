import { RegistryError } from '../protocol/errors.ts';

export interface QueueLimits {
  /** How many may wait. */
  readonly queueLimit?: number;
  /** Milliseconds that one waits. */
  readonly timeoutMs?: number;
}

/** Lets a number of tasks run at once. Others wait for a while, in a queue that has a limit as well. */
export class ConcurrencyLimit {
  #free: number;
  readonly #queueLimit: number;
  readonly #timeoutMs: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number, { queueLimit = 1_000, timeoutMs = 30_000 }: QueueLimits = {}) {
    this.#free = count;
    this.#queueLimit = queueLimit;
    this.#timeoutMs = timeoutMs;
  }

  /** Whether somebody waits. */
  get isContended(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Runs a task when there is room for it.
   * @throws RegistryError BUSY when there was none in time, or too many wait already
   */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await this.#wait();
    try {
      return await task();
    } finally {
      this.#leave();
    }
  }

  async #wait(): Promise<void> {
    if (this.#waiting.size >= this.#queueLimit) throw new RegistryError('BUSY');
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(enter);
        reject(new RegistryError('BUSY'));
      }, this.#timeoutMs);
      this.#waiting.add(enter);
    });
  }

  /** The room goes to the one that has waited longest. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free++;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
