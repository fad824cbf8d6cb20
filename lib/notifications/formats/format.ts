import type { EndpointConfig } from '../../config/notifications.ts';
import type { Notification } from '../../registry/notification.ts';
import { cloudEvent, cloudEventType } from './cloud-event.ts';
import { distributionEvent, envelopeOf, envelopeType, type EventOptions } from './distribution-event.ts';

/** distribution's envelope, or CloudEvents 1.0 in structured mode. */
export type EventFormat = EndpointConfig['format'];

export interface FormatOptions extends EventOptions {
  readonly format: EventFormat;
}

/** The body of a notification. */
export interface FormattedEvent {
  readonly contentType: string;
  /** JSON. */
  readonly body: string;
}

export function formatEvent(notification: Notification, options: FormatOptions): FormattedEvent {
  return options.format === 'cloudevents'
    ? { contentType: cloudEventType, body: JSON.stringify(cloudEvent(notification, options)) }
    : {
        contentType: envelopeType,
        body: JSON.stringify(envelopeOf(distributionEvent(notification, options))),
      };
}
