import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Config, Program } from './config/config.ts';
import type { ListenAddress } from './config/listen.ts';
import type { Deliverer } from './notifications/delivery/deliverer.ts';
import { createFilter } from './notifications/filter.ts';
import { isWanted } from './notifications/notifications-of.ts';
import { BucketOutbox } from './registry/outbox/outbox.ts';
import type { ObjectStore } from './storage/store.ts';

/** What a process does about events. */
export interface Events {
  readonly outbox: BucketOutbox;
  /** Called after each write that somebody is told of. Who delivers sets it. */
  onWritten: () => void;
  /** What delivers, in a process that does. It is loaded on demand. */
  readonly createDeliverer: () => Promise<Deliverer>;
}

export type EventsConfig = Pick<Config, 'notifications' | 'address' | 'host' | 'prefix'>;

/** A UUID of this process. */
const instance = randomUUID();

/** For settings with endpoints. */
export function createEvents(
  program: Program,
  config: EventsConfig,
  store: ObjectStore,
  log: Logger,
): Events {
  const outbox = createOutbox(program, config, store, () => {
    events.onWritten();
  });
  const events: Events = {
    outbox,
    onWritten: () => undefined,
    createDeliverer: async () => {
      const { createDeliverer } = await import('./compose-delivery.ts');
      return createDeliverer(config, store, { log, outbox });
    },
  };
  return events;
}

/** @param onDone called after each write that somebody is told of */
export function createOutbox(
  program: Program,
  { notifications, address }: Pick<Config, 'notifications' | 'address'>,
  store: ObjectStore,
  onDone?: () => void,
): BucketOutbox {
  const filters = notifications.endpoints.map((endpoint) => ({ takes: createFilter(endpoint) }));
  return new BucketOutbox(store, {
    takes: (change) => isWanted(filters, change),
    source: { address: addressOf(program, address), instance },
    ...(onDone && { onDone }),
  });
}

/** What distribution calls `source.addr`: host and port; the name of a function. */
function addressOf(program: Program, address: ListenAddress): string {
  // eslint-disable-next-line no-restricted-syntax -- set by Lambda, and no setting
  const functionName = process.env['AWS_LAMBDA_FUNCTION_NAME'] ?? '';
  if (functionName !== '') return functionName;
  const listens = program === 'server' || program === 'data-plane';
  return listens && 'port' in address ? `${hostname()}:${address.port}` : hostname();
}
