import type { Config } from './config/config.ts';
import { Deliverer } from './notifications/delivery/deliverer.ts';
import { DeliveryLog, type Log } from './notifications/delivery/delivery-log.ts';
import type { Endpoint } from './notifications/endpoint.ts';
import { openEndpoints } from './notifications/open-endpoints.ts';
import { Pulls } from './notifications/pulls.ts';
import type { Report } from './notifications/report.ts';
import type { BucketOutbox } from './registry/outbox/outbox.ts';
import { PendingIntents } from './registry/outbox/pending.ts';
import { Resolver } from './registry/outbox/resolve.ts';
import type { Subscriber } from './registry/subscriber.ts';
import type { ObjectStore } from './storage/store.ts';

export type DeliveryConfig = Pick<Config, 'notifications' | 'host' | 'prefix'>;

interface DeliveryOptions {
  readonly log: Log;
  /** Of this process, which remembers what it has written. */
  readonly outbox?: Pick<BucketOutbox, 'hasMade'> | undefined;
  readonly report?: Report | undefined;
}

/** What delivers events to the endpoints of the settings. */
export async function createDeliverer(
  config: DeliveryConfig,
  store: ObjectStore,
  { log, outbox, report }: DeliveryOptions,
): Promise<Deliverer> {
  const pending = new PendingIntents(store);
  const resolver = new Resolver(store, { hasMade: (key) => outbox?.hasMade(key) === true });
  return new Deliverer({
    store,
    endpoints: await endpointsOf(config),
    writes: {
      list: () => pending.list(),
      resolve: async (writes) => await resolver.resolve(writes),
    },
    log,
    report,
  });
}

/** What tells the endpoints that ask for it of pulls. @param signal ends it */
export async function createPulls(
  config: DeliveryConfig,
  { log, report, signal }: { log: Log; report: Report; signal: AbortSignal },
): Promise<Subscriber> {
  const endpoints = await endpointsOf(config);
  return new Pulls({ endpoints, log: new DeliveryLog(log), report, signal });
}

async function endpointsOf({ notifications, host, prefix }: DeliveryConfig): Promise<readonly Endpoint[]> {
  return await openEndpoints(notifications, { origin: host, prefix });
}
