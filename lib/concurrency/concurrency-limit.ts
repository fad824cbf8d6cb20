import { RegistryError } from '../protocol/errors.ts';
import { Semaphore } from './semaphore.ts';

export interface QueueLimits {
  /** How many may wait. */
  readonly queueLimit?: number;
  /** Milliseconds that one waits. */
  readonly timeoutMs?: number;
}

/** Lets a number of tasks run at once. Others wait for a while, in a queue that has a limit as well. */
export class ConcurrencyLimit {
  readonly #places: Semaphore;

  constructor(count: number, { queueLimit = 1_000, timeoutMs = 30_000 }: QueueLimits = {}) {
    this.#places = new Semaphore(count, { queueLimit, timeoutMs, busy: () => new RegistryError('BUSY') });
  }

  /** Whether somebody waits. */
  get isContended(): boolean {
    return this.#places.isContended;
  }

  /**
   * Runs a task when there is room for it.
   * @throws RegistryError BUSY when there was none in time, or too many wait already
   */
  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.#places.acquire();
    try {
      return await task();
    } finally {
      this.#places.release();
    }
  }
}
