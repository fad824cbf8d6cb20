import type { ObjectStore } from '../../storage/store.ts';

/** Deletes objects one after the other, with those that have come meanwhile in one request. */
export class Remover {
  readonly #store: ObjectStore;
  readonly #waiting = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** Whether a key is yet to be deleted, for instance because that has failed. */
  has(key: string): boolean {
    return this.#waiting.has(key);
  }

  remove(key: string): void {
    this.#waiting.add(key);
    // What fails is tried again by `flush`, which reports it.
    this.#start().catch(() => undefined);
  }

  /** Resolves when all are deleted. */
  async flush(): Promise<void> {
    while (this.#waiting.size > 0) await this.#start();
  }

  async #start(): Promise<void> {
    this.#running ??= this.#deleteAll().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  async #deleteAll(): Promise<void> {
    // Those of the same moment go together.
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      const keys = [...this.#waiting].slice(0, 1000);
      await this.#store.delete(keys, { transient: true });
      for (const key of keys) this.#waiting.delete(key);
    }
  }
}
