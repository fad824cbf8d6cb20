import type { Config } from './config/config.ts';
import type { EndpointConfig } from './config/notifications.ts';
import { Deliverer } from './notifications/delivery/deliverer.ts';
import type { Log } from './notifications/delivery/delivery-log.ts';
import type { Endpoint } from './notifications/endpoint.ts';
import type { EventOptions } from './notifications/formats/distribution-event.ts';
import { HttpEndpoint } from './notifications/http/endpoint.ts';
import type { Report } from './notifications/report.ts';
import type { BucketOutbox } from './registry/outbox/outbox.ts';
import { listPending } from './registry/outbox/pending.ts';
import { Resolver } from './registry/outbox/resolve.ts';
import type { ObjectStore } from './storage/store.ts';

interface DeliveryOptions {
  readonly log: Log;
  /** Of this process, which remembers what it has written. */
  readonly outbox?: Pick<BucketOutbox, 'hasMade'> | undefined;
  readonly report?: Report | undefined;
}

/** What delivers events to the endpoints of the settings. */
export function createDeliverer(
  { notifications, host, prefix }: Pick<Config, 'notifications' | 'host' | 'prefix'>,
  store: ObjectStore,
  { log, outbox, report }: DeliveryOptions,
): Deliverer {
  const { endpoints, includeReferences } = notifications;
  const options = { origin: host, prefix, includeReferences };
  const resolver = new Resolver(store, { hasMade: (key) => outbox?.hasMade(key) === true });
  return new Deliverer({
    store,
    endpoints: endpoints.map((endpoint) => createEndpoint(endpoint, options)),
    writes: {
      list: async () => (await listPending(store)).intents,
      resolve: async (writes) => await resolver.resolve(writes),
    },
    log,
    report,
  });
}

function createEndpoint(config: EndpointConfig, options: EventOptions): Endpoint {
  const { target } = config;
  if (target.kind === 'webhook') return new HttpEndpoint(config, target, options);
  throw new Error(`${target.arn}: there is no client for it yet`);
}
