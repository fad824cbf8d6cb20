import { createHash } from 'node:crypto';
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import type { EndpointConfig, QueueArn } from '../../config/notifications.ts';
import { ConfiguredEndpoint } from '../configured-endpoint.ts';
import type { Delivery } from '../../registry/subscriber.ts';
import type { EventOptions } from '../formats/distribution-event.ts';
import { formatEvent, type FormatOptions } from '../formats/format.ts';
import type { Notification } from '../../registry/notification.ts';
import { awsOutcome } from './outcome.ts';
import { openQueue, type QueueClient } from './queue-client.ts';

/**
 * A queue of SQS. A message is the body that a webhook would get: an intent keeps 128 KiB of references at most, so it is below the
 * 256 KiB that every queue takes. In a FIFO queue, the events of a repository are a group, in which they stay in order, and an event that
 * is sent twice within five minutes is one message.
 */
export class QueueEndpoint extends ConfiguredEndpoint {
  readonly #queue: QueueArn;
  readonly #format: FormatOptions;
  readonly #client: QueueClient;

  constructor(config: EndpointConfig, queue: QueueArn, events: EventOptions) {
    super(config);
    this.#queue = queue;
    this.#format = { ...events, format: config.format };
    this.#client = openQueue(queue, config.timeoutMs);
  }

  async deliver(notification: Notification, signal?: AbortSignal): Promise<Delivery> {
    const options = signal === undefined ? {} : { abortSignal: signal };
    const { client, url } = this.#client;
    try {
      await client.send(
        new SendMessageCommand({
          QueueUrl: url,
          MessageBody: withoutNoncharacters(formatEvent(notification, this.#format).body),
          ...(this.#queue.queue.endsWith('.fifo') && {
            MessageGroupId: groupOf(notification),
            MessageDeduplicationId: notification.id,
          }),
        }),
        options,
      );
      return { outcome: 'taken' };
    } catch (error) {
      return awsOutcome(error instanceof Error ? error.name : 'an unknown error');
    }
  }
}

/** The same JSON without the characters that SQS refuses (API reference of SendMessage, "MessageBody"): a media type may have them. */
function withoutNoncharacters(json: string): string {
  return json.replace(/[\ufffe\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
}

/** 128 characters at most. */
function groupOf({ change }: Notification): string {
  const { repository } = change;
  return repository.length <= 128 ? repository : createHash('sha256').update(repository).digest('hex');
}
