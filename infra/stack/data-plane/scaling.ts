import { attribute, ref, sub, type Resource, type Template, type Value } from '../template.ts';

export const tasks = { least: 1, most: 4 } as const;

/** What a task takes in a minute before another one is started: about half of what it can. */
const perMinute = { requests: 600, bytes: 15e6 * 60 } as const;

/** As many tasks as requests and bytes need. Both policies may add tasks; to remove one, both must agree. */
export function scaling(): Template {
  return {
    Resources: {
      DataPlaneScaling: {
        Type: 'AWS::ApplicationAutoScaling::ScalableTarget',
        Properties: {
          ServiceNamespace: 'ecs',
          ScalableDimension: 'ecs:service:DesiredCount',
          ResourceId: sub('service/${DataPlaneCluster}/${DataPlaneService.Name}'),
          MinCapacity: tasks.least,
          MaxCapacity: tasks.most,
        },
      },
      DataPlaneScalingByRequests: policy('requests', perMinute.requests, {
        PredefinedMetricSpecification: {
          PredefinedMetricType: 'ALBRequestCountPerTarget',
          ResourceLabel: sub(
            '${DataPlaneBalancer.LoadBalancerFullName}/${DataPlaneTargets.TargetGroupFullName}',
          ),
        },
      }),
      DataPlaneScalingByBytes: policy('bytes', perMinute.bytes, {
        CustomizedMetricSpecification: {
          Metrics: [
            metric('bytes', 'ProcessedBytes', 'Sum', [balancer]),
            metric('tasks', 'HealthyHostCount', 'Average', [balancer, targets]),
            {
              Id: 'bytesOfATask',
              Label: 'bytes of a task in a minute',
              Expression: 'bytes / tasks',
              ReturnData: true,
            },
          ],
        },
      }),
    },
  };
}

const balancer = { Name: 'LoadBalancer', Value: attribute('DataPlaneBalancer', 'LoadBalancerFullName') };
const targets = { Name: 'TargetGroup', Value: attribute('DataPlaneTargets', 'TargetGroupFullName') };

function metric(id: string, name: string, statistic: string, dimensions: Value): Value {
  return {
    Id: id,
    MetricStat: {
      Metric: { Namespace: 'AWS/ApplicationELB', MetricName: name, Dimensions: dimensions },
      Stat: statistic,
    },
    ReturnData: false,
  };
}

function policy(name: string, target: number, specification: Readonly<Record<string, Value>>): Resource {
  return {
    Type: 'AWS::ApplicationAutoScaling::ScalingPolicy',
    Properties: {
      PolicyName: name,
      PolicyType: 'TargetTrackingScaling',
      ScalingTargetId: ref('DataPlaneScaling'),
      TargetTrackingScalingPolicyConfiguration: {
        TargetValue: target,
        ScaleOutCooldown: 60,
        ScaleInCooldown: 600,
        ...specification,
      },
    },
  };
}
