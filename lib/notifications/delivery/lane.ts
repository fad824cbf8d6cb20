import { setTimeout as delay } from 'node:timers/promises';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import type { Endpoint } from '../endpoint.ts';
import type { Delivery } from '../../registry/subscriber.ts';
import type { NotificationReport } from '../report.ts';
import { backoffMs } from './backoff.ts';
import type { DeliveryLog } from './delivery-log.ts';
import { EndpointQueue, type NamedNotification, type QueuedNotification } from './endpoint-queue.ts';
import { deleteState, writeState, type EndpointState } from './endpoint-state.ts';
import type { Remover } from './remover.ts';
import type { DeliveryTiming } from './timing.ts';

export interface LaneOptions {
  readonly store: ObjectStore;
  readonly endpoint: Endpoint;
  readonly remover: Remover;
  readonly timing: Pick<DeliveryTiming, 'slowMs' | 'maxAgeMs' | 'pollMs'>;
  /** Whether it waits until the next delivery to an endpoint that fails is due. */
  readonly waits: boolean;
  readonly log: DeliveryLog;
  readonly report: (report: NotificationReport) => void;
  /** Throws if this process may not deliver any more. */
  readonly assertHeld: () => void;
  /** Called with what has ended its work, which is not that of the endpoint. */
  readonly onError: (error: unknown) => void;
  /** Ends its work: the delivery in progress is the last one. */
  readonly signal: AbortSignal;
  /** Ends the delivery in progress as well, which another process repeats. */
  readonly abort: AbortSignal;
}

interface Waiting {
  readonly event: NamedNotification;
  readonly sinceMs: number;
  readonly done: PromiseWithResolvers<undefined>;
}

const parallelWrites = 16;

/**
 * Delivers events to one endpoint, one at a time and in order. They come from memory as long as the endpoint takes them. Once it has
 * failed, or is slow, they go through its queue in the bucket until that is empty, so that nobody else waits for it.
 */
export class Lane {
  readonly #options: LaneOptions;
  readonly #queue: EndpointQueue;
  #memory: Waiting[] = [];
  /** The one that is being delivered from there. */
  #inFlight: Waiting | undefined;
  /** Undefined: events are delivered from memory. */
  #state: EndpointState | undefined;
  /** While it changes between memory and queue. */
  #change: Promise<void> | undefined;
  /** Events that are being put into the queue, and how many have ever been. */
  readonly #additions = new Set<Promise<void>>();
  #added = 0;
  #inQueue = 0;
  /** Whether `#state` may be in the bucket. */
  #hasState: boolean;
  #work: Promise<void> | undefined;
  #slowTimer: NodeJS.Timeout | undefined;

  /** @param state of the endpoint in the bucket */
  constructor(options: LaneOptions, state: EndpointState | undefined) {
    this.#options = options;
    this.#queue = new EndpointQueue(options.store, options.endpoint.name, options.remover);
    this.#state = state;
    this.#hasState = state !== undefined;
    options.signal.addEventListener('abort', () => {
      clearTimeout(this.#slowTimer);
      this.#rejectMemory(options.signal.reason);
    });
    if (state !== undefined) this.#start();
  }

  /** Whether it has something to do now. */
  get isBusy(): boolean {
    if (this.#memory.length > 0 || this.#change !== undefined) return true;
    // If it does not wait, its work may have ended just before the next delivery is due, which then is another run's.
    return this.#work !== undefined && this.#state !== undefined && this.#dueInMs(this.#state) <= 0;
  }

  /** Takes an event. Calls must be in the order of delivery. Resolves when it was delivered, or is in the queue. */
  async accept(event: NamedNotification): Promise<void> {
    this.#options.report({ event: 'received' });
    while (this.#change !== undefined) await this.#change;
    this.#options.signal.throwIfAborted();
    if (this.#state !== undefined) {
      await this.#enqueue(event);
      this.#start();
      return;
    }
    const waiting = { event, sinceMs: performance.now(), done: Promise.withResolvers<undefined>() };
    this.#memory.push(waiting);
    this.#watch();
    this.#reportWaiting();
    this.#start();
    await waiting.done.promise;
  }

  /** A command may have put events into its queue. */
  async foundQueue(): Promise<void> {
    if (this.#state === undefined && this.#change === undefined) await this.#toQueue(this.#due());
    this.#start();
  }

  #due(): EndpointState {
    return { failures: 0, nextAt: new Date(storeTimeMs(this.#options.store)) };
  }

  #dueInMs({ nextAt }: EndpointState): number {
    return nextAt.getTime() - storeTimeMs(this.#options.store);
  }

  /** Resolves when it has nothing to do for the moment. */
  async idle(): Promise<void> {
    await this.#work;
  }

  /** Resolves when its work has ended, after its signal. */
  async ended(): Promise<void> {
    await this.#work;
    this.#inFlight?.done.reject(this.#options.signal.reason);
  }

  #start(): void {
    if (!this.#options.signal.aborted) this.#work ??= this.#deliverAll();
  }

  async #deliverAll(): Promise<void> {
    // Not before `#work` is set.
    await Promise.resolve();
    try {
      while (!this.#options.signal.aborted) {
        // Nothing is awaited between this look and the end, or what comes in between would wait for nobody.
        if (this.#state === undefined && this.#memory.length === 0) break;
        const isDue = this.#state === undefined || (await this.#isDue(this.#state));
        if (!isDue) break;
        await (this.#state === undefined ? this.#deliverFromMemory() : this.#deliverFromQueue());
      }
    } catch (error) {
      this.#options.onError(error);
    } finally {
      this.#work = undefined;
    }
  }

  #rejectMemory(reason: unknown): void {
    for (const one of this.#memory) if (one !== this.#inFlight) one.done.reject(reason);
  }

  async #deliverFromMemory(): Promise<void> {
    const [head] = this.#memory;
    if (head === undefined) return;
    this.#inFlight = head;
    const delivery = await this.#deliver(head.event);
    if (delivery === undefined) return;
    // If it was slow, it is in the queue by now.
    await this.#change;
    const isQueued = !this.#memory.includes(head);
    if (delivery.outcome !== 'taken') {
      const state = this.#afterFailure(delivery, head.event.name);
      if (isQueued) await this.#writeState(state);
      else await this.#toQueue(state);
      await this.#giveUpRefused(state, delivery.reason);
    } else if (isQueued) this.#queue.remove(head.event.name);
    else {
      head.done.resolve(undefined);
      this.#memory.shift();
    }
    this.#inFlight = undefined;
    this.#reportWaiting();
  }

  /** What is in memory goes to the queue. */
  async #toQueue(state: EndpointState): Promise<void> {
    this.#state = state;
    const move = async () => {
      if (state.failures > 0) await this.#writeState(state);
      const moved = this.#memory;
      this.#memory = [];
      try {
        await inParallel(moved, parallelWrites, async ({ event, done }) => {
          await this.#enqueue(event);
          done.resolve(undefined);
        });
      } catch (error) {
        for (const { done } of moved) done.reject(error);
        throw error;
      }
    };
    this.#change = move().finally(() => {
      this.#change = undefined;
    });
    await this.#change;
  }

  async #writeState(state: EndpointState): Promise<void> {
    [this.#state, this.#hasState] = [state, true];
    await writeState(this.#options.store, this.#options.endpoint.name, state);
  }

  async #enqueue(event: NamedNotification): Promise<void> {
    const addition = this.#queue.add(event);
    this.#additions.add(addition);
    this.#added++;
    try {
      await addition;
      this.#inQueue++;
      this.#reportWaiting();
    } finally {
      this.#additions.delete(addition);
    }
  }

  async #deliverFromQueue(): Promise<void> {
    await this.#change;
    if (this.#state === undefined) return;
    const isAllAdded = this.#additions.size === 0;
    const added = this.#added;
    const { objects, isAll } = await this.#queue.list();
    this.#inQueue = objects.length;
    this.#reportWaiting();
    for await (const event of this.#queue.read(objects)) {
      const { notification, name } = event;
      if (notification === undefined) {
        await this.#giveUp([name], 'it cannot be read, or a later release has written it');
        continue;
      }
      const delivery = await this.#deliver({ name, notification });
      if (delivery === undefined) return;
      if (delivery.outcome !== 'taken') {
        await this.#keepQueue(delivery, event, objects);
        return;
      }
      if (this.#state.failures > 0) {
        this.#options.log.recovered(this.#options.endpoint.name);
        this.#state = { failures: 0, nextAt: this.#state.nextAt };
      }
      this.#queue.remove(name);
      this.#inQueue--;
      this.#reportWaiting();
    }
    if (isAll && isAllAdded && added === this.#added) await this.#leaveQueue();
  }

  async #isDue(state: EndpointState): Promise<boolean> {
    const ms = this.#dueInMs(state);
    if (ms <= 0) return true;
    if (!this.#options.waits) return false;
    await delay(ms, undefined, { signal: this.#options.signal }).catch(() => undefined);
    return !this.#options.signal.aborted;
  }

  /** An event from the queue was not taken. */
  async #keepQueue(
    delivery: Exclude<Delivery, { outcome: 'taken' }>,
    { name }: QueuedNotification,
    objects: readonly ObjectInfo[],
  ): Promise<void> {
    const { store, timing } = this.#options;
    const state = this.#afterFailure(delivery, name);
    await this.#writeState(state);
    if (await this.#giveUpRefused(state, delivery.reason)) return;
    // An endpoint that is down takes none of the others either.
    const untaken = objects.filter((one) => {
      const other = this.#queue.nameOf(one);
      return delivery.outcome === 'failed' ? other >= name : other === name;
    });
    const isOld = ({ lastModified }: ObjectInfo) =>
      storeTimeMs(store) - lastModified.getTime() >= timing.maxAgeMs;
    const old = untaken.filter(isOld).map((one) => this.#queue.nameOf(one));
    if (old.length > 0) await this.#giveUp(old, `not taken for too long: ${delivery.reason}`);
  }

  /** @returns whether an event was refused as often as it may be */
  async #giveUpRefused({ refused }: EndpointState, reason: string): Promise<boolean> {
    const { threshold } = this.#options.endpoint;
    if (refused === undefined || refused.times < threshold) return false;
    await this.#giveUp(
      [refused.name],
      `refused ${threshold === 1 ? 'once' : `${threshold} times`}: ${reason}`,
    );
    // It says nothing about the next one, which does not wait for it any more.
    await this.#writeState(this.#due());
    return true;
  }

  async #giveUp(names: readonly string[], reason: string): Promise<void> {
    await this.#queue.giveUp(names, reason);
    this.#options.log.gaveUp(this.#options.endpoint.name, names.length, reason);
    this.#options.report({ event: 'dead', count: names.length });
    this.#inQueue = Math.max(0, this.#inQueue - names.length);
    this.#reportWaiting();
  }

  /** Its queue is empty: events are delivered from memory again. */
  async #leaveQueue(): Promise<void> {
    const { store, endpoint, remover } = this.#options;
    const leave = async () => {
      await remover.flush();
      if (this.#hasState) await deleteState(store, endpoint.name);
      this.#hasState = false;
      this.#state = undefined;
    };
    this.#change = leave().finally(() => {
      this.#change = undefined;
    });
    await this.#change;
  }

  /** @param name of the event that was not taken */
  #afterFailure(delivery: Exclude<Delivery, { outcome: 'taken' }>, name: string): EndpointState {
    const { store, endpoint, log } = this.#options;
    const before = this.#state?.refused;
    const refused =
      delivery.outcome === 'refused'
        ? { name, times: (before?.name === name ? before.times : 0) + 1 }
        : undefined;
    const failures = (this.#state?.failures ?? 0) + 1;
    const retryAfterMs = delivery.outcome === 'failed' ? delivery.retryAfterMs : undefined;
    const ms = backoffMs(failures, endpoint.backoffMs, retryAfterMs);
    log.failed(endpoint.name, delivery.reason, failures);
    return { failures, nextAt: new Date(storeTimeMs(store) + ms), refused };
  }

  /** @returns undefined if its work was ended */
  async #deliver({ notification }: NamedNotification): Promise<Delivery | undefined> {
    const { endpoint, signal, abort, assertHeld, report, log } = this.#options;
    if (signal.aborted) return undefined;
    assertHeld();
    const delivery = await endpoint.deliver(notification, abort).catch(cannotBeSent);
    // It may not have been taken because this process stops.
    if (delivery.outcome !== 'taken' && abort.aborted) return undefined;
    report({ event: 'delivered', delivery });
    if (delivery.status?.startsWith('3') === true) log.redirected(endpoint.name, delivery.status);
    return delivery;
  }

  /** Whoever waits for too long goes to the queue. */
  #watch(): void {
    this.#slowTimer ??= setTimeout(() => {
      this.#slowTimer = undefined;
      const [oldest] = this.#memory;
      if (oldest === undefined || this.#state !== undefined || this.#options.signal.aborted) return;
      if (performance.now() - oldest.sinceMs < this.#options.timing.slowMs) {
        this.#watch();
        return;
      }
      this.#options.log.slow(this.#options.endpoint.name);
      this.#toQueue(this.#due()).catch(this.#options.onError);
    }, this.#options.timing.slowMs);
  }

  #reportWaiting(): void {
    this.#options.report({ event: 'waiting', count: this.#memory.length + this.#inQueue });
  }
}

/** An event that some endpoint fails at is refused by it, so that it stops no others. */
function cannotBeSent(error: unknown): Delivery {
  return { outcome: 'refused', reason: `it cannot be sent: ${String(error)}` };
}
