/** A set of keys that expire some time after their last use. */
export class ExpiringSet {
  readonly #ttlMs: number;
  readonly #maxSize: number;
  /** Expiry by performance.now(), in the order of last use. */
  readonly #keys = new Map<string, number>();

  /** @param maxSize keys; the least recently used ones are evicted */
  constructor(ttlMs: number, maxSize: number) {
    this.#ttlMs = ttlMs;
    this.#maxSize = maxSize;
  }

  add(key: string): void {
    this.#keys.delete(key);
    this.#keys.set(key, performance.now() + this.#ttlMs);
    const [oldest] = this.#keys.keys();
    if (this.#keys.size > this.#maxSize && oldest !== undefined) this.#keys.delete(oldest);
  }

  /** Whether the set has a key. If so, it counts as used. */
  use(key: string): boolean {
    const until = this.#keys.get(key);
    if (until === undefined) return false;
    if (until <= performance.now()) {
      this.#keys.delete(key);
      return false;
    }
    this.add(key);
    return true;
  }
}
