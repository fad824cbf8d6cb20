import type { Logger } from 'pino';
import type { Config, Program } from './config/config.ts';
import type { QueueArn } from './config/notifications.ts';
import type { Deliverer } from './notifications/delivery/deliverer.ts';
import type { DeliveryQueue } from './notifications/aws/delivery-queue.ts';
import { createFilter } from './notifications/filter.ts';
import { isWanted } from './registry/notifications-of.ts';
import type { Report } from './notifications/report.ts';
import { BucketOutbox, type OutboxOptions } from './registry/outbox/outbox.ts';
import { sourceOf } from './event-source.ts';
import type { Subscriber } from './registry/subscriber.ts';
import type { ObjectStore } from './storage/store.ts';

/** What a process does about events. */
export interface Events {
  readonly outbox: BucketOutbox;
  /** Called after each write that somebody is told of. Who delivers sets it. @param key of its intent */
  onWritten: (key: string) => void;
  /** What delivers, in a process that does. It is loaded on demand. */
  readonly createDeliverer: () => Promise<Deliverer>;
  /** Tells endpoints of pulls; undefined if none asks for them, and beside or in functions, which are frozen after their responses. */
  readonly onPulls: Subscriber | undefined;
  /** What is not delivered of pulls is lost. */
  readonly stopPulls: () => void;
}

export type EventsConfig = Pick<Config, 'notifications' | 'address' | 'host' | 'prefix'>;

interface EventsOptions {
  readonly log: Logger;
  readonly report: Report;
}

/** For settings with endpoints. */
export async function createEvents(
  program: Program,
  config: EventsConfig,
  store: ObjectStore,
  { log, report }: EventsOptions,
): Promise<Events> {
  const pulls = new AbortController();
  const outbox = createOutbox(program, config, store, {
    onAnnounced: askAtOnce(config.notifications.queue, log),
    onDone: (key) => {
      events.onWritten(key);
    },
  });
  const events: Events = {
    outbox,
    onWritten: () => undefined,
    createDeliverer: async () => {
      const { createDeliverer } = await import('./compose-delivery.ts');
      return await createDeliverer(config, store, { log, outbox, report });
    },
    onPulls: await openPulls(program, config, { log, report, signal: pulls.signal }),
    stopPulls: () => {
      pulls.abort();
    },
  };
  return events;
}

async function openPulls(
  program: Program,
  config: EventsConfig,
  options: EventsOptions & { readonly signal: AbortSignal },
): Promise<Subscriber | undefined> {
  const isAsked = config.notifications.endpoints.some(({ actions }) => actions.includes('pull'));
  if (!isAsked || program !== 'server') return undefined;
  const { createPulls } = await import('./compose-delivery.ts');
  return await createPulls(config, options);
}

/** Asks for a delivery, if there is a queue for that. One that cannot be asked costs no write: the next look is within a minute. */
function askAtOnce(queue: QueueArn | undefined, log: Logger): OutboxOptions['onAnnounced'] {
  if (queue === undefined) return undefined;
  let client: Promise<DeliveryQueue> | undefined;
  return async () => {
    try {
      client ??= import('./notifications/aws/delivery-queue.ts').then(
        (loaded) => new loaded.DeliveryQueue(queue),
      );
      await (await client).ask();
    } catch (error) {
      log.warn(
        { err: error, queue: queue.queue },
        'a delivery of events cannot be asked for; it begins within a minute',
      );
    }
  };
}

export function createOutbox(
  program: Program,
  { notifications, address }: Pick<Config, 'notifications' | 'address'>,
  store: ObjectStore,
  calls: Pick<OutboxOptions, 'onAnnounced' | 'onDone'> = {},
): BucketOutbox {
  const filters = notifications.endpoints.map((endpoint) => ({ takes: createFilter(endpoint) }));
  return new BucketOutbox(store, {
    takes: (change) => isWanted(filters, change),
    source: sourceOf(program, address),
    ...calls,
  });
}
