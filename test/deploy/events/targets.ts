import { createHmac } from 'node:crypto';
import { CreateEventBusCommand, PutRuleCommand, PutTargetsCommand } from '@aws-sdk/client-eventbridge';
import { CreateQueueCommand, DeleteMessageCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { receiver, type Received, type Receiver } from '../../notifications/receiver.ts';
import { accountId, region, type AwsClients } from '../../servers/ministack.ts';

/** What an endpoint was told, in any of its formats. */
export interface Told {
  readonly id: string;
  readonly action: string;
  readonly target: {
    readonly repository: string;
    readonly digest?: string;
    readonly tag?: string;
    readonly size?: number;
  };
}

/** The endpoints of a stage: a webhook, a queue, and a bus with a rule whose target is a queue. */
export const endpointNames = ['builds', 'audit', 'rules'] as const;

export type EndpointName = (typeof endpointNames)[number];

export interface Targets {
  /** The setting with the endpoints. They are told of repositories below `told`. */
  readonly endpoints: string;
  readonly webhook: Receiver;
  /** All that an endpoint was told so far. A bus and a queue have what was sent once the function has answered. */
  told(name: EndpointName): Promise<readonly Told[]>;
  stop(): Promise<void>;
}

const arn = (service: string, resource: string) => `arn:aws:${service}:${region}:${accountId}:${resource}`;

export async function openTargets({ events, sqs }: AwsClients): Promise<Targets> {
  const webhook = await receiver();
  const urls = new Map<EndpointName, string>();
  for (const name of ['audit', 'rules'] as const) {
    const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: name }));
    urls.set(name, QueueUrl);
  }
  const EventBusName = 'registry';
  await events.send(new CreateEventBusCommand({ Name: EventBusName }));
  const EventPattern = JSON.stringify({
    source: ['stowage'],
    detail: { target: { repository: [{ exists: true }] } },
  });
  await events.send(new PutRuleCommand({ Name: 'told', EventBusName, EventPattern }));
  const Target = { Id: 'queue', Arn: arn('sqs', 'rules') };
  await events.send(new PutTargetsCommand({ Rule: 'told', EventBusName, Targets: [Target] }));

  const repositories = ['told/**'];
  const endpoints = [
    {
      name: 'builds',
      url: webhook.url,
      privateaddresses: true,
      threshold: 1,
      timeout: '10s',
      backoff: '100ms',
    },
    { name: 'audit', url: arn('sqs', 'audit'), format: 'cloudevents', timeout: '10s', backoff: '100ms' },
    { name: 'rules', url: arn('events', `event-bus/${EventBusName}`), timeout: '10s', backoff: '100ms' },
  ].map((one) => ({ ...one, repositories }));

  const taken = new Map<EndpointName, Told[]>();
  /** Takes all messages out of a queue. */
  const take = async (name: EndpointName): Promise<readonly Told[]> => {
    const QueueUrl = urls.get(name);
    const all = taken.get(name) ?? [];
    taken.set(name, all);
    for (;;) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }),
      );
      if (Messages.length === 0) return all;
      for (const { Body = '', ReceiptHandle } of Messages) {
        all.push(eventIn(JSON.parse(Body) as object));
        await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
      }
    }
  };

  return {
    endpoints: JSON.stringify(endpoints),
    webhook,
    told: async (name) =>
      name === 'builds'
        ? webhook.received.flatMap(({ body }) => (JSON.parse(body) as { events: Told[] }).events)
        : await take(name),
    stop: async () => {
      await webhook.stop();
    },
  };
}

/** The event in a CloudEvent, or in an event of EventBridge. */
function eventIn(message: object): Told {
  if ('detail' in message) return message.detail as Told;
  const { id, data } = message as { readonly id: string; readonly data: Omit<Told, 'id'> };
  return { id, ...data };
}

/** Whether a delivery has the signature of a secret, as docs/events.md tells receivers to check it. */
export function isSigned({ headers, body }: Received, secret: string): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signature } = headers;
  const hmac = createHmac('sha256', secret).update(`${String(id)}.${String(time)}.${body}`);
  return signature === `v1,${hmac.digest('base64')}`;
}
