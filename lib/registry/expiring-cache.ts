/** What the clocks of this machine say, in milliseconds. */
export interface Moment {
  /** Since 1970; may be set back. */
  readonly wallMs: number;
  /** Since the process started; may stand still while a virtual machine or a function is frozen. */
  readonly monotonicMs: number;
}

export type Clock = () => Moment;

export const systemClock: Clock = () => ({ wallMs: Date.now(), monotonicMs: performance.now() });

export interface ExpiringCacheOptions<V> {
  /** How long a value is kept, in milliseconds. */
  readonly ttlMs: number;
  /** The size of all values. The least recently used ones are evicted. */
  readonly maxSize: number;
  /** The size of a value; 1 unless given. */
  readonly sizeOf?: (value: V) => number;
  readonly clock?: Clock;
}

interface Entry<V> {
  readonly value: V;
  readonly size: number;
  readonly since: Moment;
}

/**
 * Values that are kept for a while. They expire when either clock says so: a function may be frozen for hours and then
 * resume, and a clock may be corrected meanwhile.
 */
export class ExpiringCache<K, V> {
  /** Least recently used first. */
  readonly #entries = new Map<K, Entry<V>>();
  readonly #ttlMs: number;
  readonly #maxSize: number;
  readonly #sizeOf: (value: V) => number;
  readonly #clock: Clock;
  #size = 0;

  constructor({ ttlMs, maxSize, sizeOf = () => 1, clock = systemClock }: ExpiringCacheOptions<V>) {
    this.#ttlMs = ttlMs;
    this.#maxSize = maxSize;
    this.#sizeOf = sizeOf;
    this.#clock = clock;
  }

  now(): Moment {
    return this.#clock();
  }

  get(key: K): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (this.#isExpired(entry)) {
      this.#size -= entry.size;
      return undefined;
    }
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** @param since when the value was known to hold, from which its time counts */
  set(key: K, value: V, since = this.#clock()): void {
    this.delete(key);
    const size = this.#sizeOf(value);
    if (size > this.#maxSize) return;
    this.#entries.set(key, { value, size, since });
    this.#size += size;
    for (const oldest of this.#entries.keys()) {
      if (this.#size <= this.#maxSize) return;
      this.delete(oldest);
    }
  }

  delete(key: K): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#size -= entry.size;
  }

  /** As {@link get}, and removes it. */
  take(key: K): V | undefined {
    const value = this.get(key);
    this.delete(key);
    return value;
  }

  #isExpired({ since }: Entry<V>): boolean {
    const { wallMs, monotonicMs } = this.#clock();
    const wall = wallMs - since.wallMs;
    // A clock that was set back does not tell how much time has passed.
    return wall < 0 || wall >= this.#ttlMs || monotonicMs - since.monotonicMs >= this.#ttlMs;
  }
}
