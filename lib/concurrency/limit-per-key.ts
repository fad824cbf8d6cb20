import { ConcurrencyLimit } from './concurrency-limit.ts';
import { RegistryError } from '../protocol/errors.ts';

export interface KeyLimits {
  /** Concurrent tasks of one key. */
  readonly atOnce: number;
  /** Tasks of one key in its queue. */
  readonly waiting: number;
  /** Tasks of all keys, running or in a queue. */
  readonly total: number;
  /** How long a task waits in a queue. */
  readonly timeoutMs: number;
}

/** A concurrency limit for each key, such as the address of a client. Only keys with tasks take memory. */
export class LimitPerKey {
  readonly #limits: KeyLimits;
  readonly #keys = new Map<string, { readonly limit: ConcurrencyLimit; tasks: number }>();
  #total = 0;

  constructor(limits: KeyLimits) {
    this.#limits = limits;
  }

  /** @throws RegistryError BUSY */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const { atOnce, waiting, total, timeoutMs } = this.#limits;
    if (this.#total >= total) throw new RegistryError('BUSY');
    const entry = this.#keys.get(key) ?? {
      limit: new ConcurrencyLimit(atOnce, { queueLimit: waiting, timeoutMs }),
      tasks: 0,
    };
    this.#keys.set(key, entry);
    entry.tasks++;
    this.#total++;
    try {
      return await entry.limit.run(task);
    } finally {
      this.#total--;
      if (--entry.tasks === 0) this.#keys.delete(key);
    }
  }
}
