import { setTimeout as delay } from 'node:timers/promises';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Delivery } from '../../registry/subscriber.ts';
import { Backlog, type BacklogOptions } from './backlog.ts';
import type { NamedNotification } from './endpoint-queue.ts';
import type { EndpointState } from './endpoint-state.ts';
import type { DeliveryTiming } from './timing.ts';

export interface LaneOptions extends BacklogOptions {
  readonly timing: Pick<DeliveryTiming, 'slowMs' | 'maxAgeMs'>;
  /** Whether it waits until the next delivery to an endpoint that fails is due. */
  readonly waits: boolean;
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
 * failed, or is slow, they go through its backlog in the bucket until that is empty, so that nobody else waits for it.
 */
export class Lane {
  readonly #options: LaneOptions;
  readonly #backlog: Backlog;
  #memory: Waiting[] = [];
  /** The one that is being delivered from there. */
  #inFlight: Waiting | undefined;
  /** While it changes between memory and backlog. */
  #change: Promise<void> | undefined;
  #work: Promise<void> | undefined;
  #slowTimer: NodeJS.Timeout | undefined;

  /** @param state of the endpoint in the bucket */
  constructor(options: LaneOptions, state: EndpointState | undefined) {
    this.#options = options;
    this.#backlog = new Backlog(options, state);
    options.signal.addEventListener('abort', () => {
      clearTimeout(this.#slowTimer);
      this.#rejectMemory(options.signal.reason);
    });
    if (state !== undefined) this.#start();
  }

  /** Whether it has something to do now. */
  get isBusy(): boolean {
    if (this.#memory.length > 0 || this.#change !== undefined) return true;
    return this.#backlog.isOpen && this.#backlog.dueInMs <= 0;
  }

  /** Takes an event. Calls must be in the order of delivery. Resolves when it was delivered, or is in the backlog. */
  async accept(event: NamedNotification): Promise<void> {
    this.#options.report({ event: 'received' });
    while (this.#change !== undefined) await this.#change;
    this.#options.signal.throwIfAborted();
    if (this.#backlog.isOpen) {
      await this.#backlog.add(event);
      this.#reportWaiting();
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

  /** A command may have put events into its queue in the bucket. */
  async foundQueue(): Promise<void> {
    if (!this.#backlog.isOpen && this.#change === undefined) await this.#toBacklog();
    this.#start();
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
        if (!this.#backlog.isOpen && this.#memory.length === 0) break;
        const isDue = !this.#backlog.isOpen || (await this.#isDue());
        if (!isDue) break;
        await (this.#backlog.isOpen ? this.#deliverFromBacklog() : this.#deliverFromMemory());
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
    // If it was slow, it is in the backlog by now.
    await this.#change;
    const isMoved = !this.#memory.includes(head);
    if (delivery.outcome !== 'taken') {
      this.#backlog.failed(delivery, head.event.name);
      if (!isMoved) await this.#toBacklog();
      await this.#backlog.settle(delivery);
    } else if (isMoved) this.#backlog.remove(head.event.name);
    else {
      this.#options.log.taken(this.#options.endpoint.name);
      head.done.resolve(undefined);
      this.#memory.shift();
    }
    this.#inFlight = undefined;
    this.#reportWaiting();
  }

  /** What is in memory goes to the backlog, and so does what comes from now on. */
  async #toBacklog(): Promise<void> {
    this.#backlog.open();
    const move = async () => {
      const moved = this.#memory;
      this.#memory = [];
      try {
        await inParallel(moved, parallelWrites, async ({ event, done }) => {
          await this.#backlog.add(event);
          done.resolve(undefined);
        });
      } catch (error) {
        for (const { done } of moved) done.reject(error);
        throw error;
      }
      this.#reportWaiting();
    };
    await this.#during(move());
  }

  async #deliverFromBacklog(): Promise<void> {
    await this.#change;
    if (!this.#backlog.isOpen) return;
    const outcome = await this.#backlog.deliver(
      async (event) => await this.#deliver(event),
      () => {
        this.#reportWaiting();
      },
    );
    this.#reportWaiting();
    // Events are delivered from memory again.
    if (outcome === 'empty') await this.#during(this.#backlog.close());
  }

  async #during(change: Promise<void>): Promise<void> {
    this.#change = change.finally(() => {
      this.#change = undefined;
    });
    await this.#change;
  }

  async #isDue(): Promise<boolean> {
    const ms = this.#backlog.dueInMs;
    if (ms <= 0) return true;
    if (!this.#options.waits) return false;
    await delay(ms, undefined, { signal: this.#options.signal }).catch(() => undefined);
    return !this.#options.signal.aborted;
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

  /** Whoever waits for too long goes to the backlog. */
  #watch(): void {
    this.#slowTimer ??= setTimeout(() => {
      this.#slowTimer = undefined;
      const [oldest] = this.#memory;
      if (oldest === undefined || this.#backlog.isOpen || this.#options.signal.aborted) return;
      if (performance.now() - oldest.sinceMs < this.#options.timing.slowMs) {
        this.#watch();
        return;
      }
      this.#options.log.slow(this.#options.endpoint.name);
      this.#toBacklog().catch(this.#options.onError);
    }, this.#options.timing.slowMs);
  }

  #reportWaiting(): void {
    this.#options.report({ event: 'waiting', count: this.#memory.length + this.#backlog.count });
  }
}

/** An event that some endpoint fails at is refused by it, so that it stops no others. */
function cannotBeSent(error: unknown): Delivery {
  return { outcome: 'refused', reason: `it cannot be sent: ${String(error)}` };
}
