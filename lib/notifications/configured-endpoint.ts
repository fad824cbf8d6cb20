import type { EndpointConfig } from '../config/notifications.ts';
import type { Endpoint } from './endpoint.ts';
import type { Delivery } from '../registry/subscriber.ts';
import { createFilter } from './filter.ts';
import type { Notification } from '../registry/notification.ts';

/** What an endpoint has of its settings, whatever it is. */
export abstract class ConfiguredEndpoint implements Endpoint {
  readonly name: string;
  readonly threshold: number;
  readonly backoffMs: number;
  readonly takes: Endpoint['takes'];

  constructor(config: EndpointConfig) {
    this.name = config.name;
    this.threshold = config.threshold;
    this.backoffMs = config.backoffMs;
    this.takes = createFilter(config);
  }

  abstract deliver(notification: Notification, signal?: AbortSignal): Promise<Delivery>;
}
