import { UpstreamError } from '../upstream/upstream.ts';
import type { Source } from './sources.ts';

/** Milliseconds for which what an upstream does not answer is not asked. */
export const outageMs = 10_000;

/** Milliseconds after which the end of a check says nothing: this process was frozen meanwhile. */
const longestCheckMs = 15_000;

interface Outage {
  readonly error: UpstreamError;
  /** When it was found, in milliseconds since 1970. */
  readonly since: number;
}

/**
 * Upstreams that do not answer at all, so that not each pull of what is not cached waits until it knows that. Whether one answers is
 * found out by a request for nothing in particular: what it does not answer for one repository says nothing of others.
 */
export class Outages {
  /** By the ids of upstreams, which the settings bound. */
  readonly #known = new Map<string, Outage>();
  readonly #checked = new Set<string>();

  /**
   * Fails at once during an outage. The first one that comes after some time finds out whether it is over.
   * @throws UpstreamError unavailable
   */
  async assertNone(source: Source): Promise<void> {
    const known = this.#known.get(source.id);
    if (known === undefined) return;
    const age = Date.now() - known.since;
    // A clock that was set back says nothing.
    if (age < 0 || age >= outageMs) await this.check(source);
    const still = this.#known.get(source.id);
    if (still !== undefined) throw still.error;
  }

  /** Finds out whether an upstream answers, unless somebody else does. Never fails. */
  async check({ id, upstream }: Source): Promise<void> {
    if (this.#checked.has(id)) return;
    this.#checked.add(id);
    const began = Date.now();
    try {
      await upstream.ping();
      this.#known.delete(id);
    } catch (cause) {
      if (Date.now() - began > longestCheckMs) return;
      const { message } = cause as Error;
      const error = new UpstreamError('unavailable', message, { retryAfterMs: outageMs, cause });
      this.#known.set(id, { error, since: Date.now() });
    } finally {
      this.#checked.delete(id);
    }
  }
}
