import { createHash } from 'node:crypto';
import { ExpiringCache } from '../registry/expiring-cache.ts';
import { fieldsOf } from '../registry/json-fields.ts';
import { upstreamPause } from '../registry/layout.ts';
import { undefinedIfDamaged } from '../registry/links.ts';
import { RegistryError } from '../protocol/errors.ts';
import { withoutDeadline } from '../storage/deadline.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import type { ObjectStore } from '../storage/store.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import { SingleFlight } from '../concurrency/single-flight.ts';
import { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import { share } from '../concurrency/share.ts';
import { withoutPlace } from '../concurrency/held-place.ts';
import { isOutage } from './errors.ts';
import { Outages } from './outages.ts';
import type { Source } from './sources.ts';

/** Requests to one upstream at the same time, and in a queue, of all processes of a server. */
const requestsAtOnce = 64;
const queuedRequests = 256;

/** Milliseconds in that queue. */
const queueTimeoutMs = 15_000;

/** Clients of all processes of a server that wait for one upstream. */
const waitingClients = 1_000;

/** Milliseconds after which clients that find all taken try again. */
const busyMs = 5_000;

/** Milliseconds after which an unanswered request makes an upstream suspect. */
const slowMs = 5_000;

/** How long an upstream's 404 or refusal is answered without another request. */
const refusalMs = 30_000;

/** Bytes of memory for them. Each takes some kilobytes. */
const refusalBytes = 16 * 1024 * 1024;

/** Characters of a key. Clients choose a part of some, such as where a page of tags begins. */
const maxKey = 512;

/** How long a process relies on what it has read of a pause: other processes learn of one later by that. */
const pauseKnownMs = 30_000;

/** The longest pause that is kept. A registry may be wrong about its clock. */
const maxPauseMs = 3_600_000;

/** A pause whose end the upstream does not say. */
const usualPauseMs = 60_000;

/** Bytes of such an object. */
const maxSize = 1024;

export interface UpstreamRequestsOptions {
  /** Told each time that an upstream could not be asked. */
  readonly onOutage: (source: Source, error: UpstreamError) => void;
  /** Processes that share the limits. */
  readonly workers: number;
  /** Whether the request that is being handled has come from this registry itself. */
  readonly isLoop?: (() => boolean) | undefined;
}

/** What an upstream is used for just now. */
interface Load {
  readonly limit: ConcurrencyLimit;
  waiting: number;
}

/**
 * Asks upstreams, and no more than they permit: the pause that one asks for by 429 is kept in the bucket, where all instances see it.
 * That costs one bucket request for each upstream and process in half a minute, while it is asked, and one more for each 429. What it
 * refuses or does not have is not asked again for half a minute, and nothing while it is down.
 */
export class UpstreamRequests {
  readonly #store: ObjectStore;
  /** By upstream: until when it does not want to be asked, in milliseconds since 1970 by the clock that dates objects; 0 for no pause. */
  readonly #pauses = new ExpiringCache<string, number>({ ttlMs: pauseKnownMs, maxSize: 1000 });
  readonly #refusals = new ExpiringCache<string, UpstreamError>({
    ttlMs: refusalMs,
    maxSize: refusalBytes,
    sizeOf: ({ message, stack = '' }) => 2 * (maxKey + message.length + stack.length),
  });
  readonly #flights = new SingleFlight<string, unknown>();
  readonly #outages = new Outages();
  /** By the accounts of upstreams, which the settings bound. */
  readonly #loads = new Map<string, Load>();
  readonly #options: UpstreamRequestsOptions;

  constructor(store: ObjectStore, options: UpstreamRequestsOptions) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * Has a client wait for work that asks an upstream. It takes no place of the server's limits meanwhile, so that a slow upstream is no
   * load for other repositories.
   * @throws UpstreamError unavailable if too many wait for this upstream; RegistryError BUSY, or DENIED if that would be without end
   */
  async wait<T>(source: Source, work: () => Promise<T>): Promise<T> {
    // Before it joins those that wait for what this registry itself waits for.
    this.#assertNoLoop(source);
    const load = this.#loadOf(source);
    if (load.waiting >= share(waitingClients, this.#options.workers)) throw busy(source);
    load.waiting++;
    try {
      return await withoutPlace(work);
    } finally {
      load.waiting--;
    }
  }

  /**
   * Asks an upstream. Concurrent requests for the same share one.
   * @param what of its repository is asked for, such as a digest
   * @throws UpstreamError; RegistryError DENIED if that would be without end
   */
  async ask<T>(source: Source, what: string, request: (source: Source) => Promise<T>): Promise<T> {
    const key = shortened(`${source.id} ${source.remote} ${what}`);
    const refusal = this.#refusals.get(key);
    if (refusal !== undefined) throw refusal;
    this.#assertNoLoop(source);
    const shared = async () =>
      await withoutDeadline(async () => {
        await this.#outages.assertNone(source);
        return await this.#loadOf(source).limit.run(async () => await this.#ask(source, key, request));
      });
    return (await this.#flights.run(key, shared)) as T;
  }

  #assertNoLoop(source: Source): void {
    if (this.#options.isLoop?.() === true) throw looped(source);
  }

  #loadOf(source: Source): Load {
    const known = this.#loads.get(source.account);
    if (known !== undefined) return known;
    const { workers } = this.#options;
    const limit = new ConcurrencyLimit(share(requestsAtOnce, workers), {
      queueLimit: share(queuedRequests, workers),
      timeoutMs: queueTimeoutMs,
      busy: () => busy(source),
    });
    const load = { limit, waiting: 0 };
    this.#loads.set(source.account, load);
    return load;
  }

  async #ask<T>(source: Source, key: string, request: (source: Source) => Promise<T>): Promise<T> {
    // It may have come while this request was in the queue.
    await this.#outages.assertNone(source);
    await this.#assertNoPause(source);
    const check = () => void this.#outages.check(source);
    const slow = setTimeout(check, slowMs);
    try {
      return await request(source);
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (error.kind === 'unavailable') check();
      if (error.kind === 'limited') await this.#pause(source, error);
      if (isOutage(error)) this.#options.onOutage(source, error);
      else this.#refusals.set(key, error);
      throw error;
    } finally {
      clearTimeout(slow);
    }
  }

  /** @throws UpstreamError limited */
  async #assertNoPause(source: Source): Promise<void> {
    const until = this.#pauses.get(source.account) ?? (await this.#readPause(source));
    const ms = until - storeTimeMs(this.#store);
    if (ms > 0)
      throw new UpstreamError('limited', `${source.upstream.host} has asked for a pause`, {
        retryAfterMs: ms,
      });
  }

  async #readPause({ account }: Source): Promise<number> {
    const key = upstreamPause(account);
    const object = await undefinedIfDamaged(this.#store, key, this.#store.read(key, maxSize));
    const until = Number(object && fieldsOf(object.bytes)?.['until']);
    const isRight = until <= storeTimeMs(this.#store) + maxPauseMs;
    this.#pauses.set(account, isRight ? until : 0);
    return isRight ? until : 0;
  }

  async #pause({ account }: Source, { retryAfterMs = usualPauseMs }: UpstreamError): Promise<void> {
    const until = storeTimeMs(this.#store) + Math.min(retryAfterMs, maxPauseMs);
    if ((this.#pauses.get(account) ?? 0) >= until - pauseKnownMs) return;
    this.#pauses.set(account, until);
    await this.#store.put(upstreamPause(account), Buffer.from(`${JSON.stringify({ version: 1, until })}\n`));
  }
}

/** A key of bounded length, for what is in memory. */
function shortened(key: string): string {
  return key.length <= maxKey ? key : createHash('sha256').update(key).digest('base64');
}

function looped({ upstream }: Source): RegistryError {
  return new RegistryError(
    'DENIED',
    `${upstream.host} was asked for this, and asks here: registries must not be caches of each other, nor redirect to their caches`,
  );
}

function busy({ upstream }: Source): UpstreamError {
  const message = `${upstream.host} has as many requests of this registry as it gets at the same time`;
  return new UpstreamError('unavailable', message, { retryAfterMs: busyMs });
}
