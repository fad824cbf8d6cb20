import { functionName, functionNames } from '../gateway.ts';
import { bucketName } from './bucket.ts';
import { deadLetters } from './dead-letters.ts';
import type { Parameters } from './parameters.ts';
import { attribute, ref, type Template, type Value } from './template.ts';

/** Namespace, metric, and names and values of dimensions in turn. */
type Metric = readonly [namespace: string, metric: string, ...dimensions: string[]];

interface Widget {
  readonly title: string;
  readonly metrics: readonly Metric[];
  readonly stat: string;
  /** Seconds. @default 300 */
  readonly period?: number;
}

/**
 * One page with what tells how the registry does, of 50 metrics at most: three such dashboards of an account are free
 * (https://aws.amazon.com/cloudwatch/pricing/). Dashboards have no region, so its name has it.
 */
export function dashboard(parameters: Parameters): Template {
  const { stage, region } = parameters;
  const widgets = widgetsOf(parameters).map(({ title, metrics, stat, period = 300 }, i) => ({
    type: 'metric',
    ...{ x: (i % 2) * 12, y: Math.floor(i / 2) * 6, width: 12, height: 6 },
    properties: { title, metrics, stat, period, region, view: 'timeSeries' },
  }));
  return {
    Resources: {
      Dashboard: {
        Type: 'AWS::CloudWatch::Dashboard',
        Properties: {
          DashboardName: `stowage-${stage}-${region}`,
          DashboardBody: { 'Fn::Sub': [JSON.stringify({ widgets }), names(parameters)] },
        },
      },
    },
  };
}

/** What the body refers to as `${…}`. */
function names(parameters: Parameters): Value {
  const bucket = bucketName(parameters);
  return {
    Api: ref('HttpApi'),
    DeadLetterQueue: attribute(deadLetters, 'QueueName'),
    ...(bucket !== undefined && { BucketName: bucket }),
  };
}

function widgetsOf(parameters: Parameters): readonly Widget[] {
  const { stage } = parameters;
  const ofApi = (metric: string): Metric => ['AWS/ApiGateway', metric, 'ApiId', '${Api}'];
  const ofFunctions = (metric: string) =>
    functionNames.map((name): Metric => ['AWS/Lambda', metric, 'FunctionName', functionName(name, stage)]);
  const ofBucket = (metric: string, type: string): Metric => [
    ...(['AWS/S3', metric, 'BucketName', '${BucketName}', 'StorageType', type] as const),
  ];
  const day = 86_400;
  return [
    { title: 'Requests and errors', metrics: ['Count', '4xx', '5xx'].map(ofApi), stat: 'Sum' },
    {
      title: 'Latency, 99th percentile (ms)',
      metrics: [ofApi('Latency'), ofApi('IntegrationLatency')],
      stat: 'p99',
    },
    { title: 'Errors of functions', metrics: ofFunctions('Errors'), stat: 'Sum' },
    { title: 'Duration of functions, 99th percentile (ms)', metrics: ofFunctions('Duration'), stat: 'p99' },
    // Of the account and region, which the quota is of.
    {
      title: 'Concurrent executions of the account',
      metrics: [['AWS/Lambda', 'ConcurrentExecutions']],
      stat: 'Maximum',
    },
    { title: 'Throttled invocations of the account', metrics: [['AWS/Lambda', 'Throttles']], stat: 'Sum' },
    {
      title: 'Dead letters',
      metrics: [['AWS/SQS', 'ApproximateNumberOfMessagesVisible', 'QueueName', '${DeadLetterQueue}']],
      stat: 'Maximum',
    },
    ...(bucketName(parameters) === undefined
      ? []
      : [
          {
            title: 'Bytes in the bucket',
            metrics: [ofBucket('BucketSizeBytes', 'StandardStorage')],
            stat: 'Average',
            period: day,
          },
        ]),
  ];
}
