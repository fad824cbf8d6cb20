import { storeTimeMs } from '../../storage/store-time.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import type { Delivery } from '../../registry/subscriber.ts';
import type { Endpoint } from '../endpoint.ts';
import type { NotificationReport } from '../report.ts';
import { backoffMs } from './backoff.ts';
import type { DeliveryLog } from './delivery-log.ts';
import { EndpointQueue, type NamedNotification } from './endpoint-queue.ts';
import { deleteState, writeState, type EndpointState } from './endpoint-state.ts';
import type { Remover } from './remover.ts';
import type { DeliveryTiming } from './timing.ts';

export interface BacklogOptions {
  readonly store: ObjectStore;
  readonly endpoint: Endpoint;
  readonly remover: Remover;
  readonly timing: Pick<DeliveryTiming, 'maxAgeMs'>;
  readonly log: DeliveryLog;
  readonly report: (report: NotificationReport) => void;
}

type Untaken = Exclude<Delivery, { outcome: 'taken' }>;

/** What became of the delivery of events from the bucket. */
export type BacklogDelivery =
  /** All are delivered, and none has come meanwhile. */
  | 'empty'
  /** There may be more, now or once the next delivery is due. */
  | 'left'
  /** The work was ended. */
  | 'ended';

/**
 * What an endpoint has yet to take once it has failed or is slow: decides when its queue is delivered, repeated and given up, and keeps its
 * state. The objects themselves are the {@link EndpointQueue}'s.
 */
export class Backlog {
  readonly #options: BacklogOptions;
  readonly #queue: EndpointQueue;
  /** Undefined: none wait. */
  #state: EndpointState | undefined;
  /** Whether it may be in the bucket. */
  #hasState: boolean;
  /** Events that are being put into the queue, and how many have ever been. */
  readonly #additions = new Set<Promise<void>>();
  #added = 0;
  #count = 0;

  /** @param state of the endpoint in the bucket */
  constructor(options: BacklogOptions, state: EndpointState | undefined) {
    this.#options = options;
    this.#queue = new EndpointQueue(options.store, options.endpoint.name, options.remover);
    this.#state = state;
    this.#hasState = state !== undefined;
  }

  /** Whether events go there: since it was opened, until it is closed. */
  get isOpen(): boolean {
    return this.#state !== undefined;
  }

  /** How many wait, as far as it is known. */
  get count(): number {
    return this.#count;
  }

  /** Milliseconds until the next delivery is due. */
  get dueInMs(): number {
    const { nextAt } = this.#state ?? this.#due();
    return nextAt.getTime() - storeTimeMs(this.#options.store);
  }

  /** Lets events go there, to be delivered at once. */
  open(): void {
    this.#state ??= this.#due();
  }

  /** Nothing waits any more. */
  async close(): Promise<void> {
    const { store, endpoint, remover } = this.#options;
    await remover.flush();
    if (this.#hasState) await deleteState(store, endpoint.name);
    this.#hasState = false;
    this.#state = undefined;
  }

  async add(event: NamedNotification): Promise<void> {
    const addition = this.#queue.add(event);
    this.#additions.add(addition);
    this.#added++;
    try {
      await addition;
      this.#count++;
    } finally {
      this.#additions.delete(addition);
    }
  }

  remove(name: string): void {
    this.#queue.remove(name);
  }

  /**
   * Delivers events in order, until one is not taken.
   * @param deliver resolves with undefined if the work was ended
   * @param onChange is called when their number has changed
   */
  async deliver(
    deliver: (event: NamedNotification) => Promise<Delivery | undefined>,
    onChange: () => void,
  ): Promise<BacklogDelivery> {
    const isAllAdded = this.#additions.size === 0;
    const added = this.#added;
    const { objects, isAll } = await this.#queue.list();
    this.#count = objects.length;
    onChange();
    for await (const { name, notification } of this.#queue.read(objects)) {
      if (notification === undefined) {
        await this.#giveUp([name], 'it cannot be read, or a later release has written it');
        continue;
      }
      const delivery = await deliver({ name, notification });
      if (delivery === undefined) return 'ended';
      if (delivery.outcome !== 'taken') {
        this.failed(delivery, name);
        await this.settle(delivery);
        await this.#giveUpOld(delivery, name, objects);
        return 'left';
      }
      this.#options.log.taken(this.#options.endpoint.name, this.#state?.reason !== undefined);
      if (this.#state !== undefined) this.#state = { failures: 0, nextAt: this.#state.nextAt };
      this.#queue.remove(name);
      this.#count--;
      onChange();
    }
    return isAll && isAllAdded && added === this.#added ? 'empty' : 'left';
  }

  /** An event was not taken, which opens this. To be followed by {@link settle}, once the event is in the queue. */
  failed(delivery: Untaken, name: string): void {
    const { store, endpoint, log } = this.#options;
    const { failures = 0, refused: before } = this.#state ?? {};
    const refused =
      delivery.outcome === 'refused'
        ? { name, times: (before?.name === name ? before.times : 0) + 1 }
        : undefined;
    const retryAfterMs = delivery.outcome === 'failed' ? delivery.retryAfterMs : undefined;
    // The others wait for it meanwhile, and whoever pushes chooses what it says.
    const grows = delivery.outcome === 'failed' || delivery.isAboutEvent !== true;
    const ms = backoffMs(grows ? failures + 1 : 1, endpoint.backoffMs, retryAfterMs);
    const { reason } = delivery;
    log.failed(endpoint.name, reason, this.#state?.reason !== undefined);
    this.#state = { failures: failures + 1, nextAt: new Date(storeTimeMs(store) + ms), refused, reason };
  }

  /** Keeps in the bucket how it stands with the endpoint, and gives up an event that was refused as often as it may be. */
  async settle({ reason }: Untaken): Promise<void> {
    const { threshold } = this.#options.endpoint;
    const { refused } = this.#state ?? {};
    await this.#writeState();
    if (refused === undefined || refused.times < threshold) return;
    await this.#giveUp(
      [refused.name],
      `refused ${threshold === 1 ? 'once' : `${threshold} times`}: ${reason}`,
    );
    // It says nothing about the next one, which does not wait for it any more.
    this.#state = { ...this.#due(), reason };
    await this.#writeState();
  }

  async #writeState(): Promise<void> {
    if (this.#state === undefined) return;
    this.#hasState = true;
    await writeState(this.#options.store, this.#options.endpoint.name, this.#state);
  }

  #due(): EndpointState {
    return { failures: 0, nextAt: new Date(storeTimeMs(this.#options.store)) };
  }

  /** An endpoint that is down takes none of the others either; one that refuses an event may take them. */
  async #giveUpOld(
    { outcome, reason }: Untaken,
    name: string,
    objects: readonly ObjectInfo[],
  ): Promise<void> {
    const { store, timing } = this.#options;
    if (this.#state?.failures === 0) return;
    const untaken = objects.filter((one) => {
      const other = this.#queue.nameOf(one);
      return outcome === 'failed' ? other >= name : other === name;
    });
    const isOld = ({ lastModified }: ObjectInfo) =>
      storeTimeMs(store) - lastModified.getTime() >= timing.maxAgeMs;
    const old = untaken.filter(isOld).map((one) => this.#queue.nameOf(one));
    if (old.length > 0) await this.#giveUp(old, `not taken for too long: ${reason}`);
  }

  async #giveUp(names: readonly string[], reason: string): Promise<void> {
    const { endpoint, log, report } = this.#options;
    await this.#queue.giveUp(names, reason);
    log.gaveUp(endpoint.name, names.length, reason);
    report({ event: 'dead', count: names.length });
    this.#count = Math.max(0, this.#count - names.length);
  }
}
