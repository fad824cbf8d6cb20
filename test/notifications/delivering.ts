import { randomUUID } from 'node:crypto';
import { Deliverer, type DelivererOptions } from '../../lib/notifications/delivery/deliverer.ts';
import type { PendingWrites } from '../../lib/notifications/delivery/pending-writes.ts';
import type { Endpoint } from '../../lib/notifications/endpoint.ts';
import type { Delivery } from '../../lib/registry/subscriber.ts';
import type { Notification } from '../../lib/registry/notification.ts';
import { pendingIntent } from '../../lib/registry/layout.ts';
import type { Intent } from '../../lib/registry/outbox/intent.ts';
import { serializeIntent } from '../../lib/registry/outbox/intent-object.ts';
import { PendingIntents } from '../../lib/registry/outbox/pending.ts';
import type { Resolution } from '../../lib/registry/outbox/resolution.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { intentOf, pushed, tag } from './samples.ts';

/** An endpoint in this process. */
export interface LocalEndpoint extends Endpoint {
  /** What it has taken, in order. */
  readonly taken: readonly Notification[];
  /** The tags of `taken`. */
  tags(): readonly (string | undefined)[];
  /** Deliveries, also those that it has not taken. */
  readonly attempts: number;
  /** From now on. */
  answer(with_: Answer): void;
}

type Answer = (notification: Notification, signal: AbortSignal | undefined) => Delivery | Promise<Delivery>;

export const taken: Delivery = { outcome: 'taken', status: '200 OK' };
export const failed: Delivery = { outcome: 'failed', reason: 'it is down' };
export const refused: Delivery = {
  outcome: 'refused',
  reason: 'it does not like this',
  status: '400 Bad Request',
};

/** @param keeps whether it keeps what it has taken */
export function localEndpoint(
  name: string,
  { keeps = true, ...options }: Partial<Endpoint> & { readonly keeps?: boolean } = {},
): LocalEndpoint {
  const all: Notification[] = [];
  let [answer, attempts]: [Answer, number] = [() => taken, 0];
  return {
    name,
    threshold: 3,
    backoffMs: 1,
    takes: () => true,
    ...options,
    taken: all,
    tags: () => all.map((one) => one.tag),
    get attempts() {
      return attempts;
    },
    answer: (with_) => {
      answer = with_;
    },
    deliver: async (notification, signal) => {
      attempts++;
      const delivery = await answer(notification, signal);
      if (delivery.outcome === 'taken' && keeps) all.push(notification);
      return delivery;
    },
  };
}

let lastMs = Date.now();

/** Writes the intent of a push of a tag, as if after all before it. */
export async function announce(
  store: ObjectStore,
  tagName: string,
  intent: Intent = intentOf(),
): Promise<Intent> {
  const { repository } = intent.change;
  const written = { ...intent, change: { ...pushed, repository, tags: [tag(tagName)] } };
  lastMs = Math.max(lastMs + 1, Date.now());
  await store.put(pendingIntent(new Date(lastMs), randomUUID().slice(0, 8)), serializeIntent(written));
  return written;
}

/** Writes that have all happened. */
export function allHappened(store: ObjectStore): PendingWrites {
  return {
    list: () => new PendingIntents(store).list(),
    resolve: async (writes) =>
      await Promise.resolve(
        writes.map(({ intent }): Resolution => ({ outcome: 'happened', changes: [intent.change] })),
      ),
  };
}

export const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** With short times. */
export function deliverer(
  store: ObjectStore,
  endpoints: readonly Endpoint[],
  options: Partial<DelivererOptions> = {},
): Deliverer {
  return new Deliverer({
    store,
    endpoints,
    writes: allHappened(store),
    log: quiet,
    ...options,
    timing: { pollMs: 10, idleMs: 50, otherMs: 20, lookMs: 20, slowMs: longMs, ...options.timing },
  });
}

/** Time enough for a drain. */
export const longMs = 60_000;

/** Waits until something is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}
