import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';
import {
  ListRuleNamesByTargetCommand,
  DescribeRuleCommand,
  PutRuleCommand,
} from '@aws-sdk/client-eventbridge';
import { GetFunctionConfigurationCommand, GetPolicyCommand, InvokeCommand } from '@aws-sdk/client-lambda';
import { scheduledFunctionNames, type ScheduledFunctionName } from '../../infra/gateway.ts';
import type { Place, Stage } from './stage.ts';

/** What each job logs when it is done. */
const done: Readonly<Record<ScheduledFunctionName, RegExp>> = {
  'purge-uploads': /the purge is complete/,
  reindex: /nothing to reindex|matches the bucket/,
};

/** Runs and their schedules. The emulator has no shorter one than a minute, which begins when a rule is made. */
const longestWaitMs = 120_000;

/** The daily jobs, by their schedules and by hand. */
export function schedulesSuite(deployed: () => { place: Place; stage: Stage }): void {
  describe('its daily jobs', () => {
    const since = Date.now();

    /** The rules of EventBridge that run a job, as they are deployed. */
    const rulesOf = async (job: ScheduledFunctionName) => {
      const { place, stage } = deployed();
      const { events, lambda } = place.emulator.aws;
      const FunctionName = stage.functionName(job);
      const { FunctionArn } = await lambda.send(new GetFunctionConfigurationCommand({ FunctionName }));
      const { RuleNames = [] } = await events.send(
        new ListRuleNamesByTargetCommand({ TargetArn: FunctionArn }),
      );
      return await Promise.all(
        RuleNames.map(async (Name) => await events.send(new DescribeRuleCommand({ Name }))),
      );
    };

    const schedule = async (job: ScheduledFunctionName, ScheduleExpression: string) => {
      const { events } = deployed().place.emulator.aws;
      for (const { Name } of await rulesOf(job))
        await events.send(new PutRuleCommand({ Name, ScheduleExpression, State: 'ENABLED' }));
    };

    const logged = async (job: ScheduledFunctionName) => {
      const { place, stage } = deployed();
      const logGroupName = `/aws/lambda/${stage.functionName(job)}`;
      const { events = [] } = await place.emulator.aws.logs.send(
        new FilterLogEventsCommand({ logGroupName, startTime: since }),
      );
      return events.map(({ message = '' }) => message).filter((message) => done[job].test(message)).length;
    };

    for (const job of scheduledFunctionNames) {
      it(`${job} runs once a day`, async () => {
        const rules = await rulesOf(job);
        assert.deepEqual(
          rules.map(({ ScheduleExpression, State }) => ({ ScheduleExpression, State })),
          [{ ScheduleExpression: 'rate(1 day)', State: 'ENABLED' }],
        );
        const { place, stage } = deployed();
        const { Policy = '{}' } = await place.emulator.aws.lambda.send(
          new GetPolicyCommand({ FunctionName: stage.functionName(job) }),
        );
        const { Statement = [] } = JSON.parse(Policy) as {
          Statement?: { Principal?: { Service?: string } }[];
        };
        assert.ok(Statement.some(({ Principal }) => Principal?.Service === 'events.amazonaws.com'));
      });
    }

    describe('by their rules', { concurrency: true }, () => {
      for (const job of scheduledFunctionNames)
        it(`${job} runs when its rule says so`, async () => {
          const before = await logged(job);
          await schedule(job, 'rate(1 minute)');
          try {
            const deadline = Date.now() + longestWaitMs;
            while ((await logged(job)) === before) {
              assert.ok(Date.now() < deadline, 'it did not run');
              await delay(500);
            }
          } finally {
            await schedule(job, 'rate(1 day)');
          }
        });
    });

    for (const job of scheduledFunctionNames)
      it(`${job} runs by hand`, async () => {
        const { place, stage } = deployed();
        const before = await logged(job);
        const { FunctionError } = await place.emulator.aws.lambda.send(
          new InvokeCommand({ FunctionName: stage.functionName(job) }),
        );
        assert.equal(FunctionError, undefined);
        assert.equal((await logged(job)) > before, true);
      });
  });
}
