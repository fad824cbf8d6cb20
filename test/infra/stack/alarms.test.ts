import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../../infra/stack/stack.ts';
import { isPublished } from './cloudwatch-metrics.ts';
import { parametersWith } from './examples.ts';

interface Alarm {
  readonly Namespace: string;
  readonly MetricName: string;
  readonly Dimensions: readonly { readonly Name: string; readonly Value: unknown }[];
  readonly AlarmActions: readonly unknown[];
  readonly OKActions: readonly unknown[];
}

function alarmsOf(overrides: Readonly<Record<string, string>> = {}): readonly [id: string, alarm: Alarm][] {
  return Object.entries(templateOf(parametersWith(overrides)).Resources)
    .filter(([, { Type }]) => Type === 'AWS::CloudWatch::Alarm')
    .map(([id, { Properties }]) => [id, Properties as unknown as Alarm]);
}

describe('the template of a stack', () => {
  it('mails alarms where there is an address', () => {
    for (const [, { AlarmActions, OKActions }] of alarmsOf())
      assert.deepEqual([AlarmActions, OKActions], [[], []]);
    for (const [, { AlarmActions, OKActions }] of alarmsOf({ alarmEmail: 'ops@example.com' }))
      assert.deepEqual([AlarmActions, OKActions], [[{ Ref: 'AlarmTopic' }], [{ Ref: 'AlarmTopic' }]]);
    const { AlarmTopic } = templateOf(parametersWith({ alarmEmail: 'ops@example.com' })).Resources;
    assert.equal(AlarmTopic?.Type, 'AWS::SNS::Topic');
    assert.deepEqual(AlarmTopic.Properties?.['Subscription'], [
      { Protocol: 'email', Endpoint: 'ops@example.com' },
    ]);
  });

  it('raises alarms for five answers with 5xx, and for one throttle, failed job or dead letter', () => {
    const watched = alarmsOf().map(([id, { Namespace, MetricName, Dimensions, ...alarm }]) => {
      assert.ok(
        isPublished(
          Namespace,
          MetricName,
          Dimensions.map(({ Name }) => Name),
        ),
        id,
      );
      const { Statistic, Threshold, ComparisonOperator, Period, EvaluationPeriods, TreatMissingData } =
        alarm as Record<string, unknown>;
      assert.deepEqual(
        [ComparisonOperator, Period, EvaluationPeriods, TreatMissingData],
        ['GreaterThanOrEqualToThreshold', 300, 1, 'notBreaching'],
      );
      return [id, Namespace, MetricName, Dimensions, Statistic, Threshold];
    });
    const ofJob = (job: string) => [{ Name: 'FunctionName', Value: `stowage-dev-${job}` }];
    const queue = [{ Name: 'QueueName', Value: { 'Fn::GetAtt': ['DeadLetters', 'QueueName'] } }];
    assert.deepEqual(watched, [
      [
        'ServerErrorsAlarm',
        'AWS/ApiGateway',
        '5xx',
        [{ Name: 'ApiId', Value: { Ref: 'HttpApi' } }],
        'Sum',
        5,
      ],
      ['ThrottlesAlarm', 'AWS/Lambda', 'Throttles', [], 'Sum', 1],
      ['PurgeUploadsFailedAlarm', 'AWS/Lambda', 'Errors', ofJob('purge-uploads'), 'Sum', 1],
      ['ReindexFailedAlarm', 'AWS/Lambda', 'Errors', ofJob('reindex'), 'Sum', 1],
      ['DeadLettersAlarm', 'AWS/SQS', 'ApproximateNumberOfMessagesVisible', queue, 'Maximum', 1],
    ]);
  });

  it('raises an alarm for failed garbage collection only where it is on', () => {
    const ids = (overrides: Readonly<Record<string, string>>) => alarmsOf(overrides).map(([id]) => id);
    const more = ids({ REGISTRY_GC_ENABLED: 'true', REGISTRY_GC_EXCLUSIVE: 'true' });
    const usual = ids({});
    assert.deepEqual(
      more.filter((id) => !usual.includes(id)),
      ['GcFailedAlarm'],
    );
  });
});
