import type { NotificationsConfig } from '../config/notifications.ts';
import type { Endpoint } from './endpoint.ts';
import type { EventOptions } from './formats/distribution-event.ts';

/** The endpoints of the settings. What speaks to AWS is loaded only for those that need it. */
export async function openEndpoints(
  { endpoints, includeReferences }: Pick<NotificationsConfig, 'endpoints' | 'includeReferences'>,
  events: Omit<EventOptions, 'includeReferences'>,
): Promise<readonly Endpoint[]> {
  const options = { ...events, includeReferences };
  return await Promise.all(
    endpoints.map(async (config): Promise<Endpoint> => {
      const { target } = config;
      switch (target.kind) {
        case 'webhook':
          return new (await import('./http/endpoint.ts')).HttpEndpoint(config, target, options);
        case 'sqs':
          return new (await import('./aws/sqs.ts')).QueueEndpoint(config, target, options);
        case 'eventbridge':
          return new (await import('./aws/event-bridge.ts')).EventBusEndpoint(config, target, options);
      }
    }),
  );
}
