import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { costAtRest } from '../../infra/cost-at-rest.ts';
import { pricedRegions } from '../../infra/prices.ts';
import { readParameters } from '../../infra/stack/parameters.ts';
import { templateOf } from '../../infra/stack/stack.ts';
import type { Value } from '../../infra/stack/template.ts';

const usEast = { secrets: 0, region: 'us-east-1' };

describe('the cost of a stack at rest', () => {
  it('is that of its secrets and alarms without a data plane', () => {
    const template = templateOf(readParameters({ stage: 'prod', region: 'eu-central-1' }));
    const alarms = Object.values(template.Resources).filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm');
    const { sum, region } = costAtRest(template, { secrets: 3, region: 'eu-central-1' });
    assert.equal(sum.toFixed(2), (3 * 0.4 + alarms.length * 0.1).toFixed(2));
    assert.equal(region, 'eu-central-1');
  });

  it('counts an instance, its volume, its address and its checks of the bucket', () => {
    const Instance = {
      Type: 'AWS::EC2::Instance',
      Properties: { InstanceType: 't4g.micro', BlockDeviceMappings: [{ Ebs: { VolumeSize: 8 } }] },
    };
    const { items } = costAtRest({ Resources: { Instance, Address: { Type: 'AWS::EC2::EIP' } } }, usEast);
    assert.deepEqual(
      items.map(({ what, dollars }) => `${what}: ${dollars?.toFixed(2) ?? '?'}`),
      [
        'an instance t4g.micro: 6.13',
        'a volume of 8 GB: 0.64',
        '1 public IPv4 address: 3.65',
        // 43,800 requests.
        'the checks of the bucket by 1 server: 0.22',
      ],
    );
  });

  it('is about ten dollars for the smallest instance, as the README says', () => {
    const Instance = {
      Type: 'AWS::EC2::Instance',
      Properties: { InstanceType: 't4g.micro', BlockDeviceMappings: [{ Ebs: { VolumeSize: 8 } }] },
    };
    for (const region of pricedRegions) {
      const { sum } = costAtRest(
        { Resources: { Instance, Address: { Type: 'AWS::EC2::EIP' } } },
        { secrets: 0, region },
      );
      assert.ok(sum > 9.5 && sum < 12, `${sum} in ${region}`);
    }
  });

  it('says that it does not know the price of another type of instance', () => {
    const Instance = { Type: 'AWS::EC2::Instance', Properties: { InstanceType: 'c7g.large' } };
    const { items, sum } = costAtRest({ Resources: { Instance } }, usEast);
    assert.deepEqual(items[0], { what: 'an instance c7g.large', dollars: undefined });
    assert.equal(sum.toFixed(2), '0.22');
  });

  it('counts the fewest tasks of Fargate, what scales them and their load balancer', () => {
    const policy = (configuration: Value) => ({
      Type: 'AWS::ApplicationAutoScaling::ScalingPolicy',
      Properties: { TargetTrackingScalingPolicyConfiguration: configuration },
    });
    const Resources = {
      Task: { Type: 'AWS::ECS::TaskDefinition', Properties: { Cpu: '256', Memory: '512' } },
      Scaling: { Type: 'AWS::ApplicationAutoScaling::ScalableTarget', Properties: { MinCapacity: 2 } },
      ByRequests: policy({ PredefinedMetricSpecification: {} }),
      ByBytes: policy({
        CustomizedMetricSpecification: {
          Metrics: [{ Id: 'a', MetricStat: {} }, { Id: 'b', MetricStat: {} }, { Expression: 'a / b' }],
        },
      }),
      Balancer: {
        Type: 'AWS::ElasticLoadBalancingV2::LoadBalancer',
        Properties: { Subnets: [{ Ref: 'A' }, { Ref: 'B' }] },
      },
    };
    const { items, sum } = costAtRest({ Resources }, { secrets: 1, region: 'ap-south-1' });
    assert.deepEqual(
      items.map(({ what }) => what),
      [
        '1 secret',
        '2 tasks of Fargate with 0.25 vCPU, 0.5 GB and an address',
        '6 metrics in alarms that scale',
        'the checks of the bucket by 2 servers',
        'a load balancer with an address in each zone',
      ],
    );
    const task = 0.25 * 0.03238 + 0.5 * 0.00356 + 0.005;
    assert.equal(
      sum.toFixed(4),
      (0.4 + 0.6 + 730 * (2 * (task + 60 * 5e-6) + 0.0225 + 2 * 0.005)).toFixed(4),
    );
  });
});
