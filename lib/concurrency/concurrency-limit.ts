import { RegistryError } from '../protocol/errors.ts';

export interface QueueOptions {
  readonly queueLimit?: number;
  /** How long a caller waits for a slot. */
  readonly timeoutMs?: number;
  /** The error for callers that time out or find the queue full. */
  readonly busy?: () => Error;
}

/** Limits concurrent tasks. Callers wait for a slot in order; the queue is bounded. */
export class ConcurrencyLimit {
  readonly capacity: number;
  #free: number;
  #waits = 0;
  #refusals = 0;
  readonly #options: Required<QueueOptions>;
  readonly #waiting = new Set<() => void>();

  constructor(count: number, options: QueueOptions = {}) {
    this.capacity = count;
    this.#free = count;
    const busy = () => new RegistryError('BUSY');
    this.#options = { queueLimit: 1_000, timeoutMs: 30_000, busy, ...options };
  }

  /** Whether a caller waits for a slot. */
  get isContended(): boolean {
    return this.#waiting.size > 0;
  }

  /** Tasks in progress. */
  get inUse(): number {
    return this.capacity - this.#free;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Callers that have had to wait. */
  get waits(): number {
    return this.#waits;
  }

  /** Callers that found the queue full, or waited too long. */
  get refusals(): number {
    return this.#refusals;
  }

  /** Takes a slot, which must be released. @throws the error made by `busy` */
  async acquire(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await this.#wait();
  }

  release(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free++;
    else {
      this.#waiting.delete(next);
      next();
    }
  }

  /** @throws the error made by `busy` */
  async run<T>(task: () => Promise<T>): Promise<T> {
    // As in acquire, without its promise.
    if (this.#free > 0) this.#free--;
    else await this.#wait();
    try {
      return await task();
    } finally {
      this.release();
    }
  }

  async #wait(): Promise<void> {
    const { queueLimit, timeoutMs, busy } = this.#options;
    if (this.#waiting.size >= queueLimit) throw this.#refuse(busy);
    this.#waits++;
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(enter);
        reject(this.#refuse(busy));
      }, timeoutMs);
      this.#waiting.add(enter);
    });
  }

  #refuse(busy: () => Error): Error {
    this.#refusals++;
    return busy();
  }
}
