/** A path that is not used for this long is forgotten, at the latest after twice as long. */
const lifetimeMs = 5000;

/** Most paths of each generation: with paths of 200 bytes, both have about 4 MB. */
const maxPaths = 8192;

/**
 * The paths that were used within the last seconds. Two generations make that cheap: a path that is used again moves to the
 * young one, and when that is full or old it replaces the other.
 */
export class RecentPaths {
  readonly #now: () => number;
  #young = new Set<string>();
  #old = new Set<string>();
  #started: number;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#started = now();
  }

  has(path: string): boolean {
    this.#advance();
    if (this.#young.has(path)) return true;
    if (!this.#old.has(path)) return false;
    this.#young.add(path);
    return true;
  }

  add(path: string): void {
    this.#advance();
    this.#young.add(path);
  }

  delete(path: string): void {
    this.#young.delete(path);
    this.#old.delete(path);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }

  #advance(): void {
    const age = this.#now() - this.#started;
    if (age < lifetimeMs && this.#young.size < maxPaths) return;
    this.#old = age < 2 * lifetimeMs ? this.#young : new Set();
    this.#young = new Set();
    this.#started += age;
  }
}
