import { SendMessageCommand } from '@aws-sdk/client-sqs';
import type { QueueArn } from '../../config/notifications.ts';
import { openQueue, type QueueClient } from './queue-client.ts';

/** Milliseconds for a message. A write waits for it. */
const timeoutMs = 1_000;

/** The queue whose messages start the function `events`. */
export class DeliveryQueue {
  readonly #client: QueueClient;

  constructor(queue: QueueArn) {
    this.#client = openQueue(queue, timeoutMs);
  }

  /** Asks for a delivery. What the message says does not matter. @throws Error of AWS */
  async ask(): Promise<void> {
    const { client, url } = this.#client;
    await client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: 'deliver' }));
  }
}
