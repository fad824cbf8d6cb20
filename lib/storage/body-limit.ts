import { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import { StoreUnavailable } from './store.ts';

/** Concurrent large downloads from a bucket. Leaves connections of the pool to other requests. */
const maxBodies = 192;

const timeoutMs = 20_000;
const queueLimit = 2_000;

/** Limits how many bodies hold a connection to a bucket. */
export class BodyLimit {
  readonly #connections: ConcurrencyLimit;

  constructor(count = maxBodies) {
    const busy = () => new StoreUnavailable('', 'too many concurrent downloads from the bucket');
    this.#connections = new ConcurrencyLimit(count, { queueLimit, timeoutMs, busy });
  }

  /** Whether any caller waits. */
  get isContended(): boolean {
    return this.#connections.isContended;
  }

  /**
   * Waits for a connection.
   * @returns a function that releases it; further calls do nothing
   * @throws StoreUnavailable if the wait times out or the queue is full
   */
  async acquire(): Promise<() => void> {
    await this.#connections.acquire();
    let isHeld = true;
    return () => {
      if (isHeld) this.#connections.release();
      isHeld = false;
    };
  }
}
