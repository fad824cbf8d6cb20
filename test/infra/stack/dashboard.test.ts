import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { functionNames } from '../../../infra/gateway.ts';
import { bucketName } from '../../../infra/stack/bucket.ts';
import type { Parameters } from '../../../infra/stack/parameters.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
import { isPublished } from './cloudwatch-metrics.ts';
import { examples } from './examples.ts';

interface Widget {
  readonly properties: {
    readonly metrics: readonly (readonly [namespace: string, metric: string, ...dimensions: string[]])[];
    readonly region: string;
    readonly period: number;
  };
}

/** The widgets, and what their texts refer to. */
function dashboardOf(parameters: Parameters) {
  const { DashboardBody } = templateOf(parameters).Resources['Dashboard']?.Properties ?? {};
  const [text, names] = (DashboardBody as unknown as { 'Fn::Sub': [string, Record<string, unknown>] })[
    'Fn::Sub'
  ];
  return { ...(JSON.parse(text) as { widgets: readonly Widget[] }), names };
}

describe('the template of a stack', () => {
  it('has a dashboard of 50 metrics at most, which is free', () => {
    for (const [what, parameters] of Object.entries(examples)) {
      const metrics = dashboardOf(parameters).widgets.flatMap(({ properties }) => properties.metrics);
      assert.ok(metrics.length > 30 && metrics.length <= 50, `${metrics.length} with ${what}`);
    }
  });

  for (const [what, parameters] of Object.entries(examples))
    it(`has a dashboard of metrics that AWS publishes for ${what}`, () => {
      const { widgets, names } = dashboardOf(parameters);
      const { stage, region } = parameters;
      const values: Readonly<Record<string, readonly unknown[]>> = {
        ApiId: [{ Ref: 'HttpApi' }],
        FunctionName: functionNames.map((name) => `stowage-${stage}-${name}`),
        QueueName: [{ 'Fn::GetAtt': ['DeadLetters', 'QueueName'] }],
        BucketName: [bucketName(parameters)],
        StorageType: ['StandardStorage'],
      };
      for (const { properties } of widgets) {
        assert.equal(properties.region, region);
        for (const [namespace, metric, ...dimensions] of properties.metrics) {
          const shown = [namespace, metric, ...dimensions].join(' ');
          const pairs = dimensions.flatMap((name, i) =>
            i % 2 === 0 ? [[name, dimensions[i + 1] ?? '']] : [],
          );
          assert.ok(
            isPublished(
              namespace,
              metric,
              pairs.map(([name = '']) => name),
            ),
            shown,
          );
          for (const [name = '', text = ''] of pairs) {
            const [, reference] = /^\$\{(\w+)\}$/.exec(text) ?? [];
            const value = reference === undefined ? text : names[reference];
            const known = (values[name] ?? []).some((one) => JSON.stringify(one) === JSON.stringify(value));
            assert.ok(value !== undefined && known, shown);
          }
          // S3 has a value a day: https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
          assert.equal(properties.period, namespace === 'AWS/S3' ? 86_400 : 300, shown);
        }
      }
    });
});
