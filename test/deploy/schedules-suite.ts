import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';
import {
  ListRuleNamesByTargetCommand,
  DescribeRuleCommand,
  PutRuleCommand,
  type PutRuleCommandInput,
} from '@aws-sdk/client-eventbridge';
import { GetFunctionConfigurationCommand, GetPolicyCommand, InvokeCommand } from '@aws-sdk/client-lambda';
import { scheduledFunctionNames, type ScheduledFunctionName } from '../../infra/gateway.ts';
import type { Place, Stage } from './stage.ts';

/** What each job logs when it is done. */
const done: Readonly<Record<ScheduledFunctionName, RegExp>> = {
  'purge-uploads': /the purge is complete/,
  reindex: /nothing to reindex|matches the bucket/,
  gc: /gc does not run: REGISTRY_GC_ENABLED is not true/,
  events: /events does not run: there are no endpoints/,
};

const daily = { ScheduleExpression: 'rate(1 day)', State: 'ENABLED' } as const;

/** The rule of each job, as it is deployed. */
const rules = {
  'purge-uploads': daily,
  reindex: daily,
  gc: { ScheduleExpression: 'rate(1 hour)', State: 'DISABLED' },
  events: { ScheduleExpression: 'rate(1 minute)', State: 'DISABLED' },
} as const satisfies Readonly<Record<ScheduledFunctionName, object>>;

/** Runs and their schedules. The emulator has no shorter one than a minute, which begins when a rule is made. */
const longestWaitMs = 120_000;

/** The jobs, by their schedules and by hand. */
export function schedulesSuite(deployed: () => { place: Place; stage: Stage }): void {
  describe('its jobs', () => {
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

    const schedule = async (
      job: ScheduledFunctionName,
      rule: Pick<PutRuleCommandInput, 'ScheduleExpression' | 'State'>,
    ) => {
      const { events } = deployed().place.emulator.aws;
      for (const { Name } of await rulesOf(job)) await events.send(new PutRuleCommand({ Name, ...rule }));
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
      it(`${job} has the rule ${rules[job].ScheduleExpression}, ${rules[job].State.toLowerCase()}`, async () => {
        const made = await rulesOf(job);
        assert.deepEqual(
          made.map(({ ScheduleExpression, State }) => ({ ScheduleExpression, State })),
          [rules[job]],
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
          await schedule(job, { ScheduleExpression: 'rate(1 minute)', State: 'ENABLED' });
          try {
            const deadline = Date.now() + longestWaitMs;
            while ((await logged(job)) === before) {
              assert.ok(Date.now() < deadline, 'it did not run');
              await delay(500);
            }
          } finally {
            await schedule(job, rules[job]);
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
