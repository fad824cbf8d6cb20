import { StoreUnavailable } from './store.ts';

/** Bodies of large objects that come from a bucket at once, below the connections there may be: other requests need some. */
const maxBodies = 192;

/** Milliseconds a body waits for one of the others to end, and how many may. */
const timeoutMs = 20_000;
const queueLimit = 2_000;

/** Limits how many bodies hold a connection to a bucket. */
export class BodyLimit {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count = maxBodies) {
    this.#free = count;
  }

  /** Whether somebody waits. */
  get isContended(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Waits for a connection.
   * @returns what ends its use
   * @throws StoreUnavailable when all of them were taken for too long, or too many wait
   */
  async acquire(): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await this.#wait();
    let isHeld = true;
    return () => {
      if (isHeld) this.#release();
      isHeld = false;
    };
  }

  async #wait(): Promise<void> {
    const busy = () => new StoreUnavailable('', 'too many downloads come from the bucket at once');
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

  #release(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free++;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
