import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import type { EndpointConfig, EventBusArn } from '../../config/notifications.ts';
import { ConfiguredEndpoint } from '../configured-endpoint.ts';
import type { Delivery } from '../../registry/subscriber.ts';
import { cloudEvent, eventType } from '../formats/cloud-event.ts';
import { distributionEvent, type EventOptions } from '../formats/distribution-event.ts';
import type { Notification } from '../../registry/notification.ts';
import { clientOptions } from './client-options.ts';
import { awsOutcome } from './outcome.ts';

/** The source of all events, for rules. */
const source = 'stowage';

/**
 * A bus of EventBridge. The detail is one event, without an envelope, so that rules can match its fields, such as
 * `detail.target.repository`; its detail type is the type of the CloudEvent.
 */
export class EventBusEndpoint extends ConfiguredEndpoint {
  readonly #bus: EventBusArn;
  readonly #format: EndpointConfig['format'];
  readonly #events: EventOptions;
  readonly #client: EventBridgeClient;

  constructor(config: EndpointConfig, bus: EventBusArn, events: EventOptions) {
    super(config);
    this.#bus = bus;
    this.#format = config.format;
    this.#events = events;
    this.#client = new EventBridgeClient(clientOptions(bus.region, config.timeoutMs));
  }

  async deliver(notification: Notification, signal?: AbortSignal): Promise<Delivery> {
    const format = this.#format === 'cloudevents' ? cloudEvent : distributionEvent;
    const options = signal === undefined ? {} : { abortSignal: signal };
    try {
      const { Entries = [] } = await this.#client.send(
        new PutEventsCommand({
          Entries: [
            {
              EventBusName: this.#bus.arn,
              Source: source,
              DetailType: eventType(notification),
              Time: notification.at,
              Detail: JSON.stringify(format(notification, this.#events)),
            },
          ],
        }),
        options,
      );
      // A bus that takes the request may not take the event.
      const [{ ErrorCode } = {}] = Entries;
      return ErrorCode === undefined ? { outcome: 'taken' } : awsOutcome(ErrorCode);
    } catch (error) {
      return awsOutcome(error instanceof Error ? error.name : 'an unknown error');
    }
  }
}
