import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../../infra/stack/stack.ts';
import { examples } from './examples.ts';

describe('the scaling of Fargate', () => {
  const resources = Object.values(templateOf(examples['Fargate'] ?? assert.fail()).Resources);
  const ofType = (type: string) =>
    resources.filter(({ Type }) => Type === `AWS::ApplicationAutoScaling::${type}`);

  /** What a policy of target tracking keeps, by its name. */
  const tracked = (name: string) => {
    const found = ofType('ScalingPolicy').find(({ Properties }) => Properties?.['PolicyName'] === name);
    assert.deepEqual(found?.Properties?.['ScalingTargetId'], { Ref: 'DataPlaneScaling' });
    assert.equal(found.Properties['PolicyType'], 'TargetTrackingScaling');
    return found.Properties['TargetTrackingScalingPolicyConfiguration'] as Readonly<Record<string, unknown>>;
  };

  it('is of one to four tasks of the service', () => {
    assert.deepEqual(
      ofType('ScalableTarget').map(({ Properties }) => Properties),
      [
        {
          ServiceNamespace: 'ecs',
          ScalableDimension: 'ecs:service:DesiredCount',
          ResourceId: { 'Fn::Sub': 'service/${DataPlaneCluster}/${DataPlaneService.Name}' },
          MinCapacity: 1,
          MaxCapacity: 4,
        },
      ],
    );
  });

  it('adds a task above 600 requests of a task in a minute', () => {
    const { TargetValue, PredefinedMetricSpecification } = tracked('requests');
    assert.equal(TargetValue, 600);
    assert.deepEqual(PredefinedMetricSpecification, {
      PredefinedMetricType: 'ALBRequestCountPerTarget',
      // Of the form of https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PredefinedMetricSpecification.html
      ResourceLabel: {
        'Fn::Sub': '${DataPlaneBalancer.LoadBalancerFullName}/${DataPlaneTargets.TargetGroupFullName}',
      },
    });
  });

  it('adds a task above 15 MB of a task in a second', () => {
    const { TargetValue, CustomizedMetricSpecification } = tracked('bytes');
    assert.equal(TargetValue, 60 * 15_000_000);
    const balancer = {
      Name: 'LoadBalancer',
      Value: { 'Fn::GetAtt': ['DataPlaneBalancer', 'LoadBalancerFullName'] },
    };
    const targets = {
      Name: 'TargetGroup',
      Value: { 'Fn::GetAtt': ['DataPlaneTargets', 'TargetGroupFullName'] },
    };
    const metric = (MetricName: string, Stat: string, ...Dimensions: object[]) => ({
      Metric: { Namespace: 'AWS/ApplicationELB', MetricName, Dimensions },
      Stat,
    });
    const { Metrics } = CustomizedMetricSpecification as { Metrics: Readonly<Record<string, unknown>>[] };
    assert.deepEqual(
      Metrics.map(({ Id, MetricStat, Expression, ReturnData }) =>
        ReturnData === true ? Expression : [Id, MetricStat],
      ),
      [
        ['bytes', metric('ProcessedBytes', 'Sum', balancer)],
        ['tasks', metric('HealthyHostCount', 'Average', balancer, targets)],
        'bytes / tasks',
      ],
    );
  });
});
