import { setTimeout as delay } from 'node:timers/promises';
import { eventFolders, pendingPrefix, eventsPrefixOf } from '../../registry/layout.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { Endpoint } from '../endpoint.ts';
import type { Report } from '../report.ts';
import { DeliveryLog, type Log } from './delivery-log.ts';
import { listQueues, readState } from './endpoint-state.ts';
import { Lease } from './lease.ts';
import type { PendingWrites } from './pending-writes.ts';
import { Session } from './session.ts';
import { usualTiming, type DeliveryTiming } from './timing.ts';

export interface DelivererOptions {
  readonly store: ObjectStore;
  readonly writes: PendingWrites;
  /** With different names. */
  readonly endpoints: readonly Endpoint[];
  readonly log: Log;
  readonly report?: Report | undefined;
  readonly timing?: Partial<DeliveryTiming> | undefined;
}

/** Milliseconds before its end in which a function starts no delivery. */
const functionMarginMs = 5_000;

/**
 * Tells endpoints of what was written to the bucket, by whichever process: at least once, with the same id each time, and a write that
 * began after the answer to another one after that. Of all processes, one at a time delivers.
 */
export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #timing: DeliveryTiming;
  readonly #log: DeliveryLog;
  readonly #lease: Lease;
  #isWoken = false;
  #onWake: (() => void) | undefined;

  constructor(options: DelivererOptions) {
    this.#options = options;
    this.#timing = { ...usualTiming, ...options.timing };
    this.#log = new DeliveryLog(options.log);
    this.#lease = new Lease(options.store);
    // So that metrics have each endpoint from the start.
    for (const { name } of options.endpoints) options.report?.(name, { event: 'waiting', count: 0 });
  }

  /** This process has written something. */
  wake(): void {
    this.#isWoken = true;
    this.#onWake?.();
  }

  /** Delivers until it is stopped, then resolves after the deliveries in progress. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { lookMs, otherMs } = this.#timing;
    while (!signal.aborted) {
      const isWoken = this.#isWoken;
      this.#isWoken = false;
      try {
        const isDue = isWoken || (await this.#isAnyDue());
        const isDone = !isDue || (await this.#session(signal, true));
        // Servers that were started together do not look together.
        if (isDone) await this.#wait(lookMs * (0.5 + Math.random() / 2), signal);
        // Another process delivers, which mostly finds what this one has written, but may be about to end.
        else await this.#pause(otherMs, signal);
      } catch (error) {
        this.#log.unavailable(error);
        await this.#pause(otherMs, signal);
      }
    }
  }

  /**
   * Delivers what can be delivered now; for functions.
   * @param leftMs after which it must have ended
   * @returns whether there was something to deliver: one request if not
   * @throws StoreUnavailable
   */
  async drain(leftMs: number): Promise<boolean> {
    const stop = AbortSignal.timeout(Math.max(0, Math.floor(leftMs) - functionMarginMs));
    if (!(await this.#isAnyDue())) return false;
    await this.#session(stop, false);
    return true;
  }

  /** Whether there is something to deliver: one request if there is not. */
  async #isAnyDue(): Promise<boolean> {
    const { store, endpoints } = this.#options;
    const { prefixes } = await store.list(eventFolders);
    if (prefixes.includes(pendingPrefix)) return true;
    if (!prefixes.includes(eventsPrefixOf('queue'))) return false;
    for (const name of await listQueues(store))
      if (!endpoints.some((endpoint) => endpoint.name === name)) this.#log.removed(name);
      else if ((await readState(store, name)).nextAt.getTime() <= storeTimeMs(store)) return true;
    return false;
  }

  /** @returns false if another process delivers */
  async #session(stop: AbortSignal, staysIdle: boolean): Promise<boolean> {
    if (!(await this.#lease.acquire())) return false;
    const { store, writes, endpoints, report = () => undefined } = this.#options;
    try {
      await new Session({
        store,
        writes,
        endpoints,
        lease: this.#lease,
        timing: this.#timing,
        log: this.#log,
        report,
        staysIdle,
        wait: async (ms, signal) => {
          await this.#wait(ms, signal);
          this.#isWoken = false;
        },
        stop,
      }).run();
    } finally {
      // If it fails, others wait until it has expired.
      await this.#lease.release().catch(() => undefined);
    }
    return true;
  }

  /** Until this process writes something, at most. */
  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#isWoken || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = () => {
      resolve(undefined);
    };
    const timer = setTimeout(wake, ms);
    this.#onWake = wake;
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    clearTimeout(timer);
    this.#onWake = undefined;
    signal.removeEventListener('abort', wake);
  }

  /** Whatever this process writes meanwhile. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    await delay(ms, undefined, { signal }).catch(() => undefined);
    this.#isWoken = false;
  }
}
