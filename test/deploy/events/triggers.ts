import assert from 'node:assert/strict';
import {
  DescribeRuleCommand,
  DisableRuleCommand,
  EnableRuleCommand,
  ListRuleNamesByTargetCommand,
} from '@aws-sdk/client-eventbridge';
import {
  GetFunctionConfigurationCommand,
  InvokeCommand,
  ListEventSourceMappingsCommand,
  UpdateEventSourceMappingCommand,
} from '@aws-sdk/client-lambda';
import { DeleteMessageCommand, GetQueueUrlCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { AwsClients } from '../../servers/ministack.ts';
import type { Stage } from '../stage.ts';

/** What starts the function `events` of a stage. */
export class Triggers {
  readonly #aws: AwsClients;
  readonly #function: string;

  constructor(aws: AwsClients, stage: Stage) {
    this.#aws = aws;
    this.#function = stage.functionName('events');
  }

  /** Switches the schedule on or off. @returns the schedule, such as `rate(1 minute)`, and what it was */
  async setSchedule(isOn: boolean): Promise<string> {
    const { events, lambda } = this.#aws;
    const { FunctionArn } = await lambda.send(
      new GetFunctionConfigurationCommand({ FunctionName: this.#function }),
    );
    const { RuleNames = [] } = await events.send(
      new ListRuleNamesByTargetCommand({ TargetArn: FunctionArn }),
    );
    assert.equal(RuleNames.length, 1);
    const [Name] = RuleNames;
    const { ScheduleExpression = '', State = '' } = await events.send(new DescribeRuleCommand({ Name }));
    await events.send(isOn ? new EnableRuleCommand({ Name }) : new DisableRuleCommand({ Name }));
    return `${ScheduleExpression} ${State}`;
  }

  /** Whether messages of the queue start it. */
  async setQueue(isOn: boolean): Promise<void> {
    const { lambda } = this.#aws;
    const { EventSourceMappings: [mapping, ...others] = [] } = await lambda.send(
      new ListEventSourceMappingsCommand({ FunctionName: this.#function }),
    );
    assert.ok(mapping !== undefined && others.length === 0);
    await lambda.send(new UpdateEventSourceMappingCommand({ UUID: mapping.UUID, Enabled: isOn }));
  }

  /** Takes all messages out of the queue that starts it. @returns how many there were */
  async loseMessages(): Promise<number> {
    const { sqs } = this.#aws;
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: this.#function }));
    for (let count = 0; ;) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }),
      );
      if (Messages.length === 0) return count;
      count += Messages.length;
      for (const { ReceiptHandle } of Messages)
        await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    }
  }

  /** Runs it, as its schedule does. @returns the error that it has failed with */
  async invoke(): Promise<string | undefined> {
    const { FunctionError, Payload } = await this.#aws.lambda.send(
      new InvokeCommand({
        FunctionName: this.#function,
        Payload: JSON.stringify({ source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} }),
      }),
    );
    return FunctionError === undefined ? undefined : (Payload?.transformToString() ?? FunctionError);
  }
}
