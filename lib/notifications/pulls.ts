import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from './delivery/backoff.ts';
import type { DeliveryLog } from './delivery/delivery-log.ts';
import type { Endpoint } from './endpoint.ts';
import type { Notification } from '../registry/notification.ts';
import type { Delivery, Subscriber } from '../registry/subscriber.ts';
import type { Report } from './report.ts';

/** Events of pulls that wait for one endpoint. */
const maxWaiting = 1_000;

export interface PullsOptions {
  readonly endpoints: readonly Endpoint[];
  readonly log: DeliveryLog;
  readonly report: Report;
  /** Ends it; what waits is lost. */
  readonly signal: AbortSignal;
}

/**
 * Tells endpoints of pulls, if they ask for that. These events are in memory only: there are so many that a write for each would cost
 * more than the pull, and a pull changes nothing. A process that ends loses those that it has, and those for which there is no place.
 */
export class Pulls implements Subscriber {
  readonly name = 'pulls for endpoints';
  readonly #queues: readonly PullQueue[];

  constructor(options: PullsOptions) {
    this.#queues = options.endpoints.map((endpoint) => new PullQueue(endpoint, options));
  }

  /** Nobody waits for what the endpoints do. */
  takes({ action }: Pick<Notification, 'action'>): boolean {
    return action === 'pull';
  }

  async deliver(notification: Notification): Promise<Delivery> {
    for (const queue of this.#queues) queue.add(notification);
    return await Promise.resolve({ outcome: 'taken' });
  }
}

class PullQueue {
  readonly #endpoint: Endpoint;
  readonly #options: PullsOptions;
  readonly #waiting: Notification[] = [];
  #isWorking = false;

  constructor(endpoint: Endpoint, options: PullsOptions) {
    this.#endpoint = endpoint;
    this.#options = options;
  }

  add(notification: Notification): void {
    const { report } = this.#options;
    const { name } = this.#endpoint;
    if (!this.#endpoint.takes(notification)) return;
    report(name, { event: 'received' });
    if (this.#waiting.length >= maxWaiting) report(name, { event: 'dropped' });
    else this.#waiting.push(notification);
    if (!this.#isWorking) void this.#work();
  }

  async #work(): Promise<void> {
    const { signal } = this.#options;
    this.#isWorking = true;
    for (let head = this.#waiting[0]; head !== undefined && !signal.aborted; head = this.#waiting[0]) {
      await this.#deliver(head);
      this.#waiting.shift();
    }
    this.#isWorking = false;
  }

  /** Until it is taken, or was tried often enough. */
  async #deliver(notification: Notification): Promise<void> {
    const { signal, report, log } = this.#options;
    const { name, threshold, backoffMs: firstMs } = this.#endpoint;
    for (let failures = 1; failures <= threshold && !signal.aborted; failures++) {
      const delivery = await this.#endpoint.deliver(notification, signal);
      report(name, { event: 'delivered', delivery });
      if (delivery.outcome === 'taken') return;
      log.failedPull(name, delivery.reason);
      const retryAfterMs = delivery.outcome === 'failed' ? delivery.retryAfterMs : undefined;
      const ms = backoffMs(failures, firstMs, retryAfterMs);
      await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
    }
    report(name, { event: 'dropped' });
  }
}
