import { inParallel } from '../../concurrency/in-parallel.ts';
import type { PendingIntent } from '../../registry/outbox/pending.ts';
import type { Resolution } from '../../registry/outbox/resolution.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { Endpoint } from '../endpoint.ts';
import { notificationsOf } from '../../registry/notifications-of.ts';
import type { Notification } from '../../registry/notification.ts';
import type { Report } from '../report.ts';
import type { DeliveryLog } from './delivery-log.ts';
import { listQueues, readState, type EndpointState } from './endpoint-state.ts';
import { Lane } from './lane.ts';
import { renewMs, type Lease } from './lease.ts';
import type { PendingWrites } from './pending-writes.ts';
import { Remover } from './remover.ts';
import { storedName } from './stored-notification.ts';
import type { DeliveryTiming } from './timing.ts';

export interface SessionOptions {
  readonly store: ObjectStore;
  readonly writes: PendingWrites;
  readonly endpoints: readonly Endpoint[];
  readonly lease: Lease;
  readonly timing: DeliveryTiming;
  readonly log: DeliveryLog;
  readonly report: Report;
  /** Whether it goes on until there were no events for `idleMs`; otherwise until nothing can be delivered at the moment. */
  readonly staysIdle: boolean;
  /** Waits for some milliseconds, or less if there may be events. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Ends it after the deliveries in progress. */
  readonly stop: AbortSignal;
}

/** How long deliveries in progress go on after a stop, in milliseconds: as long as they may take by default. */
const graceMs = 1_000;

/** Events after which no more writes are handed out until these are delivered or queued: one write may have a thousand. */
const maxTold = 1_000;

/** Another process may deliver now. */
class LeaseLost extends Error {
  constructor() {
    super('another process may deliver events by now; this one was stopped or too slow');
  }
}

/** What a process does while it holds the lease. It is for one use. */
export class Session {
  readonly #options: SessionOptions;
  readonly #remover: Remover;
  readonly #stopped = new AbortController();
  readonly #aborted = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  #lanes: readonly (readonly [Endpoint, Lane])[] = [];

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#remover = new Remover(options.store);
    this.#failed.promise.catch(() => undefined);
  }

  /** @throws StoreUnavailable, or if the lease was lost */
  async run(): Promise<void> {
    const { stop } = this.#options;
    const stopped = Promise.withResolvers<undefined>();
    const onStop = () => {
      stopped.resolve(undefined);
      this.#stop(stop.reason);
    };
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    const renewals = setInterval(() => {
      void this.#renew();
    }, renewMs);
    const work = this.#deliver();
    try {
      // After a stop, work may wait for a delivery for as long as its endpoint may take.
      await Promise.race([this.#failed.promise, work, stopped.promise]);
    } finally {
      this.#stop(new Error('the session has ended'));
      try {
        await this.#end(work);
      } finally {
        clearInterval(renewals);
        stop.removeEventListener('abort', onStop);
      }
    }
  }

  async #renew(): Promise<void> {
    // If the bucket fails, it is held for two more times.
    const isHeld = await this.#options.lease.renew().catch(() => true);
    if (!isHeld) this.#fail(new LeaseLost());
  }

  async #deliver(): Promise<void> {
    const { timing, staysIdle, wait } = this.#options;
    const { signal } = this.#stopped;
    await this.#openLanes();
    let [activeMs, lookedMs] = [performance.now(), performance.now()];
    while (!signal.aborted) {
      const passed = await this.#passOn();
      if (passed > 0 || this.#isBusy) activeMs = performance.now();
      else if (performance.now() - activeMs >= (staysIdle ? timing.idleMs : 0)) break;
      if (performance.now() - lookedMs >= timing.lookMs) {
        await this.#findQueues();
        lookedMs = performance.now();
      }
      // There may be more than are listed at a time.
      if (passed > 0) continue;
      const waiting = wait(timing.pollMs, signal);
      if (staysIdle) await waiting;
      else await Promise.race([waiting, this.#idle()]);
    }
  }

  async #idle(): Promise<void> {
    await Promise.all(
      this.#lanes.map(async ([, lane]) => {
        await lane.idle();
      }),
    );
  }

  get #isBusy(): boolean {
    return this.#lanes.some(([, lane]) => lane.isBusy);
  }

  async #openLanes(): Promise<void> {
    const { store, endpoints, timing, staysIdle, log, report, lease } = this.#options;
    const states = new Map<string, EndpointState>();
    for (const name of await this.#queues()) states.set(name, await readState(store, name));
    this.#lanes = endpoints.map((endpoint) => {
      const options = {
        store,
        endpoint,
        remover: this.#remover,
        timing,
        waits: staysIdle,
        log,
        report: (one: Parameters<Report>[1]) => {
          report(endpoint.name, one);
        },
        assertHeld: () => {
          if (!lease.isHeld) throw new LeaseLost();
        },
        onError: (error: unknown) => {
          this.#fail(error);
        },
        signal: this.#stopped.signal,
        abort: this.#aborted.signal,
      };
      return [endpoint, new Lane(options, states.get(endpoint.name))] as const;
    });
  }

  /** Those with settings that have a queue. */
  async #queues(): Promise<ReadonlySet<string>> {
    const { store, endpoints, log } = this.#options;
    const names = await listQueues(store);
    const known = new Set(endpoints.map(({ name }) => name));
    for (const name of names) if (!known.has(name)) log.removed(name);
    return new Set(names.filter((name) => known.has(name)));
  }

  async #findQueues(): Promise<void> {
    const names = await this.#queues();
    for (const [{ name }, lane] of this.#lanes) if (names.has(name)) await lane.foundQueue();
  }

  /** Hands all events that there are to the endpoints. @returns how many writes are done with */
  async #passOn(): Promise<number> {
    const { writes } = this.#options;
    // Repositories with a write that is undecided, and may have been answered before their other ones began.
    const held = new Set<string>();
    let passed = 0;
    for await (const listed of writes.list()) {
      const some = listed.filter(({ intent }) => !held.has(intent.change.repository));
      const resolved = some.length === 0 ? [] : await writes.resolve(some);
      passed += await this.#passOnResolved(some, resolved, held);
      if (this.#stopped.signal.aborted) break;
    }
    return passed;
  }

  async #passOnResolved(
    listed: readonly PendingIntent[],
    resolved: readonly Resolution[],
    held: Set<string>,
  ): Promise<number> {
    let [passed, told] = [0, 0];
    let handedOut: Promise<void>[] = [];
    const settle = async () => {
      // All of them, since what is not waited for would go on beside the next ones.
      const failure = (await Promise.allSettled(handedOut)).find(({ status }) => status === 'rejected');
      if (failure?.status === 'rejected') throw failure.reason;
      await this.#remover.flush();
      passed += handedOut.length;
      [handedOut, told] = [[], 0];
    };
    for (const [i, write] of listed.entries()) {
      const { repository } = write.intent.change;
      const result = resolved[i];
      if (result === undefined || this.#stopped.signal.aborted) break;
      if (held.has(repository)) continue;
      if (result.outcome === 'undecided') {
        if (result.blocks) held.add(repository);
        continue;
      }
      // Delivered before, if it was not deleted then.
      if (this.#remover.has(write.key)) continue;
      if (told >= maxTold) await settle();
      const changes = result.outcome === 'happened' ? result.changes : [];
      const notifications = notificationsOf(write.intent, changes);
      told += notifications.length;
      handedOut.push(this.#handOut(write, notifications));
    }
    await settle();
    return passed;
  }

  async #handOut(write: PendingIntent, notifications: readonly Notification[]): Promise<void> {
    await Promise.all(
      this.#lanes.flatMap(([endpoint, lane]) =>
        notifications.flatMap((notification, index) =>
          endpoint.takes(notification) ? [lane.accept({ name: storedName(write, index), notification })] : [],
        ),
      ),
    );
    this.#remover.remove(write.key);
  }

  #fail(error: unknown): void {
    this.#failed.reject(error);
    this.#stop(error);
    if (error instanceof LeaseLost) this.#aborted.abort(error);
  }

  #stop(reason: unknown): void {
    this.#stopped.abort(reason);
  }

  async #end(work: Promise<void>): Promise<void> {
    const timer = setTimeout(() => {
      this.#aborted.abort(new Error('the process stops'));
    }, graceMs);
    await inParallel(this.#lanes, this.#lanes.length || 1, async ([, lane]) => {
      await lane.ended();
    });
    clearTimeout(timer);
    // It waits for events that the lanes have, and have now given back.
    await work.catch(() => undefined);
    await this.#remover.flush();
  }
}
