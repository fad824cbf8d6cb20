import { RegistryError } from '../../protocol/errors.ts';

/** Limits for wrong passwords. */
export interface AttemptLimits {
  /** Wrong passwords for one user from one address, per window. */
  readonly perUser: number;
  /** Wrong passwords from one address, per window. */
  readonly perAddress: number;
  /** Concurrent attempts from one address, so that it cannot fill the queue. */
  readonly concurrent: number;
  /** Milliseconds. A window begins with the first attempt. */
  readonly windowMs: number;
  /** Users and addresses that are counted. The oldest counts are evicted. */
  readonly maxCounts: number;
}

export const defaultAttemptLimits: AttemptLimits = {
  perUser: 10,
  perAddress: 100,
  concurrent: 32,
  windowMs: 60_000,
  maxCounts: 20_000,
};

/** Throttles password guessing. */
export interface AttemptThrottle {
  /**
   * @param client of {@link clientKey}
   * @throws RegistryError TOO_MANY_REQUESTS with Retry-After
   */
  assertAllowed(user: string, client: string): void | Promise<void>;
  /** Starts an attempt. The caller must end it. @throws RegistryError TOO_MANY_REQUESTS with Retry-After */
  begin(user: string, client: string): Attempt | Promise<Attempt>;
}

/** An attempt in progress. It counts as a wrong password until it ends. */
export interface Attempt {
  /** @param wrong whether the password was wrong */
  end(wrong: boolean): void;
}

interface Count {
  failures: number;
  inProgress: number;
  /** End of the window, by performance.now(). */
  until: number;
}

/** Throttles password guessing by user and address, and by address alone. */
export class Attempts implements AttemptThrottle {
  readonly #limits: AttemptLimits;
  readonly #counts = new Map<string, Count>();

  constructor(limits: AttemptLimits) {
    this.#limits = limits;
  }

  assertAllowed(user: string, client: string): void {
    this.#assertBelow(this.#find(client), this.#limits.perAddress);
    this.#assertBelow(this.#find(userKey(user, client)), this.#limits.perUser);
  }

  begin(user: string, client: string): Attempt {
    this.assertAllowed(user, client);
    if ((this.#find(client)?.inProgress ?? 0) >= this.#limits.concurrent) throw tooMany(1);
    const keys = [client, userKey(user, client)];
    const counts = keys.map((key) => this.#findOrCreate(key));
    for (const count of counts) count.inProgress++;
    return {
      end: (wrong) => {
        for (const count of counts) count.inProgress--;
        // The window may have ended, so the failure belongs to the present one.
        if (wrong) for (const key of keys) this.#findOrCreate(key).failures++;
      },
    };
  }

  #find(key: string): Count | undefined {
    const count = this.#counts.get(key);
    return count !== undefined && count.until > performance.now() ? count : undefined;
  }

  #findOrCreate(key: string): Count {
    const known = this.#find(key);
    if (known !== undefined) return known;
    const count = { failures: 0, inProgress: 0, until: performance.now() + this.#limits.windowMs };
    this.#counts.delete(key);
    this.#counts.set(key, count);
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > this.#limits.maxCounts && oldest !== undefined) this.#counts.delete(oldest);
    return count;
  }

  #assertBelow(count: Count | undefined, limit: number): void {
    if (count === undefined || count.failures + count.inProgress < limit) return;
    throw tooMany(count.failures < limit ? 1 : Math.ceil((count.until - performance.now()) / 1000));
  }
}

/** @param seconds until the next attempt may begin */
export function tooMany(seconds: number): RegistryError {
  return new RegistryError(
    'TOO_MANY_REQUESTS',
    `too many wrong passwords from your address; try again in ${seconds} s`,
    [],
    { headers: { 'Retry-After': String(seconds) } },
  );
}

const userKey = (user: string, client: string) => `${client} ${user}`;
