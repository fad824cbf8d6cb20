import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PutRuleCommand, PutTargetsCommand } from '@aws-sdk/client-eventbridge';
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SQSClient,
  type Message,
} from '@aws-sdk/client-sqs';
import type { EndpointConfig } from '../../lib/config/notifications.ts';
import type { Endpoint } from '../../lib/notifications/endpoint.ts';
import { openEndpoints } from '../../lib/notifications/open-endpoints.ts';
import { accountId, ministack, region, type Ministack } from '../servers/ministack.ts';
import { requires } from '../servers/requires.ts';
import { layer, notificationOf, pushed, webhookConfig } from './samples.ts';

describe('events on AWS', requires('ministack'), () => {
  let emulator: Ministack;
  let sqs: SQSClient;
  const before_ = { ...process.env };

  before(async () => {
    emulator = await ministack();
    // Endpoints find credentials and addresses as any program with the AWS SDK.
    Object.assign(process.env, emulator.env);
    sqs = new SQSClient({});
  });

  after(async () => {
    sqs.destroy();
    for (const name of Object.keys(emulator.env)) {
      if (before_[name] === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = before_[name];
    }
    await emulator.stop();
  });

  async function endpoint(
    target: EndpointConfig['target'],
    more: Partial<EndpointConfig> = {},
    { includeReferences = false } = {},
  ): Promise<Endpoint> {
    const config = { ...webhookConfig(''), timeoutMs: 10_000, ...more, target };
    const [opened] = await openEndpoints({ endpoints: [config], includeReferences }, {});
    assert.ok(opened !== undefined);
    return opened;
  }

  async function createQueue(name: string): Promise<string> {
    const attributes: Record<string, string> = name.endsWith('.fifo') ? { FifoQueue: 'true' } : {};
    const { QueueUrl = '' } = await sqs.send(
      new CreateQueueCommand({ QueueName: name, Attributes: attributes }),
    );
    return QueueUrl;
  }

  const queueArn = (queue: string) =>
    ({
      kind: 'sqs',
      arn: `arn:aws:sqs:${region}:${accountId}:${queue}`,
      region,
      account: accountId,
      queue,
    }) as const;

  /** Takes messages until there are some, and all of them. */
  async function receive(url: string, count: number): Promise<readonly Message[]> {
    const all: Message[] = [];
    while (all.length < count) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl: url,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 1,
          MessageSystemAttributeNames: ['All'],
        }),
      );
      for (const message of Messages)
        await sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: message.ReceiptHandle }));
      all.push(...Messages);
    }
    return all;
  }

  it('go into a queue as the body that a webhook gets', async () => {
    const url = await createQueue('events');
    const notification = notificationOf();
    const queue = await endpoint(queueArn('events'));
    assert.deepEqual(await queue.deliver(notification), { outcome: 'taken' });
    const [message] = await receive(url, 1);
    assert.partialDeepStrictEqual(JSON.parse(message?.Body ?? ''), {
      events: [{ id: notification.id, action: 'push', target: { repository: 'team/app', tag: 'v1' } }],
    });
  });

  it('go into a queue without the characters that SQS refuses', async () => {
    const url = await createQueue('characters');
    const change = { ...pushed, references: [{ mediaType: 'a/\uffff\ufffe', digest: layer, size: 7 }] };
    const queue = await endpoint(queueArn('characters'), {}, { includeReferences: true });
    await queue.deliver(notificationOf(change));
    const [message] = await receive(url, 1);
    assert.doesNotMatch(message?.Body ?? '', /[\ufffe\uffff]/);
    assert.match(message?.Body ?? '', /a\/\\uffff\\ufffe/);
  });

  it('go into a FIFO queue once, in a group for each repository', async () => {
    const url = await createQueue('events.fifo');
    const queue = await endpoint(queueArn('events.fifo'), { format: 'cloudevents' });
    const [first, second] = [notificationOf(), notificationOf()];
    for (const one of [first, first, second])
      assert.deepEqual(await queue.deliver(one), { outcome: 'taken' });
    const messages = await receive(url, 2);
    assert.deepEqual(
      messages.map(({ Body = '' }) => (JSON.parse(Body) as { readonly id: string }).id),
      [first.id, second.id],
    );
    assert.deepEqual(
      messages.map(({ Attributes }) => Attributes?.MessageGroupId),
      ['team/app', 'team/app'],
    );
  });

  it('wait for a queue that is not there', async () => {
    const queue = await endpoint(queueArn('nowhere'));
    const delivery = await queue.deliver(notificationOf());
    assert.ok(delivery.outcome === 'failed');
    assert.match(delivery.reason, /QueueDoesNotExist|NonExistentQueue/);
  });

  it('come to rules of an event bus that match their fields', async () => {
    const url = await createQueue('matched');
    const { events } = emulator.aws;
    const pattern = { source: ['stowage'], detail: { target: { repository: ['team/app'] } } };
    await events.send(new PutRuleCommand({ Name: 'matched', EventPattern: JSON.stringify(pattern) }));
    const target = { Id: 'queue', Arn: queueArn('matched').arn };
    await events.send(new PutTargetsCommand({ Rule: 'matched', Targets: [target] }));
    const arn = `arn:aws:events:${region}:${accountId}:event-bus/default`;
    const bus = await endpoint({ kind: 'eventbridge', arn, region });
    const notification = notificationOf();
    assert.deepEqual(await bus.deliver(notification), { outcome: 'taken' });
    const [message] = await receive(url, 1);
    assert.partialDeepStrictEqual(JSON.parse(message?.Body ?? ''), {
      source: 'stowage',
      'detail-type': 'stowage.manifest.pushed',
      detail: { id: notification.id, action: 'push' },
    });
  });

  it('wait while AWS cannot be reached', async () => {
    const closed = { ...process.env };
    process.env['AWS_ENDPOINT_URL'] = 'http://127.0.0.1:9';
    const queue = await endpoint(queueArn('events'));
    assert.equal((await queue.deliver(notificationOf())).outcome, 'failed');
    process.env['AWS_ENDPOINT_URL'] = closed['AWS_ENDPOINT_URL'];
  });
});
