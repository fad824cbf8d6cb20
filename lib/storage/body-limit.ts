import { Semaphore } from '../concurrency/semaphore.ts';
import { StoreUnavailable } from './store.ts';

/** Bodies of large objects that come from a bucket at once, below the connections there may be: other requests need some. */
const maxBodies = 192;

/** Milliseconds a body waits for one of the others to end, and how many may. */
const timeoutMs = 20_000;
const queueLimit = 2_000;

/** Limits how many bodies hold a connection to a bucket. */
export class BodyLimit {
  readonly #connections: Semaphore;

  constructor(count = maxBodies) {
    const busy = () => new StoreUnavailable('', 'too many downloads come from the bucket at once');
    this.#connections = new Semaphore(count, { queueLimit, timeoutMs, busy });
  }

  /** Whether somebody waits. */
  get isContended(): boolean {
    return this.#connections.isContended;
  }

  /**
   * Waits for a connection.
   * @returns what ends its use
   * @throws StoreUnavailable when all of them were taken for too long, or too many wait
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
