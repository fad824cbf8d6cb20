import { SQSClient } from '@aws-sdk/client-sqs';
import type { QueueArn } from '../../config/notifications.ts';
import { clientOptions } from './client-options.ts';

/** A client for one queue, with the URL that it names in its requests. It need not ask for that, so no right to do so is needed. */
export interface QueueClient {
  readonly client: SQSClient;
  readonly url: string;
}

/** @param timeoutMs of a message */
export function openQueue({ region, account, queue }: QueueArn, timeoutMs: number): QueueClient {
  return {
    // Requests go where those of the region go, or where the environment says.
    client: new SQSClient({ ...clientOptions(region, timeoutMs), useQueueUrlAsEndpoint: false }),
    url: `https://sqs.${region}.amazonaws.com/${account}/${queue}`,
  };
}
