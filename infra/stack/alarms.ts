import { functionName, invokedFunctionNames, logicalName, scheduledFunctionNames } from '../gateway.ts';
import { watchedOfDataPlane } from './data-plane/watched.ts';
import { deadLetters } from './dead-letters.ts';
import { tellsOfEvents } from './events.ts';
import type { Parameters } from './parameters.ts';
import { collectsGarbage } from './setting-values.ts';
import { attribute, ref, type Resource, type Template, type Value } from './template.ts';
import { hasUpstreams } from './upstreams.ts';
import type { Watched } from './watched.ts';

/** Alarms, and mails about them where there is an address. */
export function alarms(parameters: Parameters): Template {
  const { alarmEmail } = parameters;
  const actions = alarmEmail === undefined ? [] : [ref('AlarmTopic')];
  return {
    Resources: {
      ...(alarmEmail !== undefined && { AlarmTopic: topic(parameters.stage, alarmEmail) }),
      ...Object.fromEntries(
        Object.entries(watched(parameters)).map(([id, one]) => [id, alarm(one, actions)]),
      ),
    },
  };
}

/** Who gets mails must confirm the subscription first. */
function topic(stage: string, email: string): Resource {
  return {
    Type: 'AWS::SNS::Topic',
    Properties: {
      DisplayName: `Stowage ${stage}`,
      Subscription: [{ Protocol: 'email', Endpoint: email }],
    },
  };
}

function watched(parameters: Parameters): Record<string, Watched> {
  const { stage } = parameters;
  const isOff = {
    gc: !collectsGarbage(parameters),
    events: !tellsOfEvents(parameters),
    copy: !hasUpstreams(parameters),
  };
  const running = [...scheduledFunctionNames, ...invokedFunctionNames].filter(
    (name) => !(name in isOff && isOff[name as keyof typeof isOff]),
  );
  const jobs = running.map((name): [string, Watched] => [
    `${logicalName(name)}FailedAlarm`,
    {
      description: `The job ${name} of ${stage} has failed; its log says why.`,
      namespace: 'AWS/Lambda',
      metric: 'Errors',
      dimensions: { FunctionName: functionName(name, stage) },
      statistic: 'Sum',
      atLeast: 1,
    },
  ]);
  return {
    // https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    ServerErrorsAlarm: {
      description: `The registry ${stage} has answered five requests or more with 5xx in five minutes.`,
      namespace: 'AWS/ApiGateway',
      metric: '5xx',
      dimensions: { ApiId: ref('HttpApi') },
      statistic: 'Sum',
      atLeast: 5,
    },
    // Functions of an account share its concurrency, and an alarm cannot add up the metrics of more than ten
    // (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-limits.html).
    ThrottlesAlarm: {
      description: `Lambda throttles functions of this account and region, where the registry ${stage} is; raise the quota of concurrent executions.`,
      namespace: 'AWS/Lambda',
      metric: 'Throttles',
      dimensions: {},
      statistic: 'Sum',
      atLeast: 1,
    },
    ...Object.fromEntries(jobs),
    DeadLettersAlarm: {
      description: `A job of ${stage} has failed at all attempts; the queue of dead letters has its event.`,
      namespace: 'AWS/SQS',
      metric: 'ApproximateNumberOfMessagesVisible',
      dimensions: { QueueName: attribute(deadLetters, 'QueueName') },
      statistic: 'Maximum',
      atLeast: 1,
    },
    ...watchedOfDataPlane(parameters),
  };
}

function alarm(one: Watched, actions: readonly Value[]): Resource {
  return {
    Type: 'AWS::CloudWatch::Alarm',
    ...(one.dependsOn !== undefined && { DependsOn: [one.dependsOn] }),
    Properties: {
      AlarmDescription: one.description,
      Namespace: one.namespace,
      MetricName: one.metric,
      Dimensions: Object.entries(one.dimensions).map(([Name, Value]) => ({ Name, Value })),
      Statistic: one.statistic,
      Period: 300,
      EvaluationPeriods: 1,
      Threshold: one.atLeast ?? one.below ?? 0,
      ComparisonOperator: one.atLeast === undefined ? 'LessThanThreshold' : 'GreaterThanOrEqualToThreshold',
      // There are no values while there are no requests.
      TreatMissingData: one.isMissingBad === true ? 'breaching' : 'notBreaching',
      AlarmActions: actions,
      OKActions: actions,
    },
  };
}
