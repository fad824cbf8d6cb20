import { ExpiringCache } from '../registry/expiring-cache.ts';
import { fieldsOf } from '../registry/json-fields.ts';
import { upstreamPause } from '../registry/layout.ts';
import { undefinedIfDamaged } from '../registry/links.ts';
import { withoutDeadline } from '../storage/deadline.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import type { ObjectStore } from '../storage/store.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import { SingleFlight } from '../concurrency/single-flight.ts';
import type { Source } from './sources.ts';

/** How long an upstream's 404 or refusal is answered without another request. */
const refusalMs = 30_000;
const maxRefusals = 10_000;

/** How long a process relies on what it has read of a pause: other processes learn of one later by that. */
const pauseKnownMs = 30_000;

/** The longest pause that is kept. A registry may be wrong about its clock. */
const maxPauseMs = 3_600_000;

/** A pause whose end the upstream does not say. */
const usualPauseMs = 60_000;

/** Bytes of such an object. */
const maxSize = 1024;

/**
 * Asks upstreams, and no more than they permit: the pause that one asks for by 429 is kept in the bucket, where all instances see it.
 * That costs one bucket request for each upstream and process in half a minute, while it is asked, and one more for each 429. What it
 * refuses or does not have is not asked again for half a minute.
 */
export class UpstreamRequests {
  readonly #store: ObjectStore;
  /** By upstream: until when it does not want to be asked, in milliseconds since 1970 by the clock that dates objects; 0 for no pause. */
  readonly #pauses = new ExpiringCache<string, number>({ ttlMs: pauseKnownMs, maxSize: 1000 });
  readonly #refusals = new ExpiringCache<string, UpstreamError>({ ttlMs: refusalMs, maxSize: maxRefusals });
  readonly #flights = new SingleFlight<string, unknown>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * Asks an upstream. Concurrent requests for the same share one.
   * @param what of its repository is asked for, such as a digest
   * @throws UpstreamError
   */
  async ask<T>(source: Source, what: string, request: (source: Source) => Promise<T>): Promise<T> {
    const key = `${source.id} ${source.remote} ${what}`;
    const refusal = this.#refusals.get(key);
    if (refusal !== undefined) throw refusal;
    const shared = async () => await withoutDeadline(async () => await this.#ask(source, key, request));
    return (await this.#flights.run(key, shared)) as T;
  }

  async #ask<T>(source: Source, key: string, request: (source: Source) => Promise<T>): Promise<T> {
    await this.#assertNoPause(source);
    try {
      return await request(source);
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (error.kind === 'limited') await this.#pause(source, error);
      if (error.kind === 'unknown' || error.kind === 'denied') this.#refusals.set(key, error);
      throw error;
    }
  }

  /** @throws UpstreamError limited */
  async #assertNoPause(source: Source): Promise<void> {
    const until = this.#pauses.get(source.id) ?? (await this.#readPause(source));
    const ms = until - storeTimeMs(this.#store);
    if (ms > 0)
      throw new UpstreamError('limited', `${source.upstream.host} has asked for a pause`, {
        retryAfterMs: ms,
      });
  }

  async #readPause({ id }: Source): Promise<number> {
    const key = upstreamPause(id);
    const object = await undefinedIfDamaged(this.#store, key, this.#store.read(key, maxSize));
    const until = Number(object && fieldsOf(object.bytes)?.['until']);
    const isRight = until <= storeTimeMs(this.#store) + maxPauseMs;
    this.#pauses.set(id, isRight ? until : 0);
    return isRight ? until : 0;
  }

  async #pause({ id }: Source, { retryAfterMs = usualPauseMs }: UpstreamError): Promise<void> {
    const until = storeTimeMs(this.#store) + Math.min(retryAfterMs, maxPauseMs);
    if ((this.#pauses.get(id) ?? 0) >= until - pauseKnownMs) return;
    this.#pauses.set(id, until);
    await this.#store.put(upstreamPause(id), Buffer.from(`${JSON.stringify({ version: 1, until })}\n`));
  }
}
