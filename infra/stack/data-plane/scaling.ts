import { attribute, ref, sub, type Resource, type Template, type Value } from '../template.ts';

export const tasks = { least: 1, most: 4 } as const;

/** What a task takes in a minute before another one is started: about half of what it can. */
const perMinute = { requests: 600, bytes: 15e6 * 60 } as const;

/**
 * As many tasks as requests and bytes need. Two policies add tasks and one removes them.
 *
 * A load balancer has no values of a minute without requests, and target tracking takes these for unknown, not for zero: it
 * would keep all tasks when traffic stops. `FILL` makes zeros of them, but also of minutes whose values are late, so that a
 * policy with it might never see three high values in a row, which it needs to add a task. To remove one it needs fifteen low
 * values, for which late ones do no harm.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-autoscaling-targettracking.html
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
 */
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
        DisableScaleIn: true,
        PredefinedMetricSpecification: {
          PredefinedMetricType: 'ALBRequestCountPerTarget',
          ResourceLabel: sub(
            '${DataPlaneBalancer.LoadBalancerFullName}/${DataPlaneTargets.TargetGroupFullName}',
          ),
        },
      }),
      DataPlaneScalingByBytes: policy('bytes', perMinute.bytes, {
        DisableScaleIn: true,
        CustomizedMetricSpecification: {
          Metrics: [bytes, taskCount, result('bytes of a task in a minute', 'bytes / tasks')],
        },
      }),
      DataPlaneScalingIn: policy('fewer', 100, {
        CustomizedMetricSpecification: {
          Metrics: [
            requests,
            bytes,
            taskCount,
            result(
              'load of a task in percent',
              `100 * MAX([${share('requests')}, ${share('bytes')}]) / tasks`,
            ),
          ],
        },
      }),
    },
  };
}

const balancer = { Name: 'LoadBalancer', Value: attribute('DataPlaneBalancer', 'LoadBalancerFullName') };
const targets = { Name: 'TargetGroup', Value: attribute('DataPlaneTargets', 'TargetGroupFullName') };

const requests = metric('requests', 'RequestCount', 'Sum', [balancer]);
const bytes = metric('bytes', 'ProcessedBytes', 'Sum', [balancer]);
/** Which the load balancer knows without requests, too. */
const taskCount = metric('tasks', 'HealthyHostCount', 'Average', [balancer, targets]);

/** What all tasks together get, in what one takes: also without requests. */
function share(name: keyof typeof perMinute): string {
  return `FILL(${name}, 0) / ${perMinute[name]}`;
}

function result(label: string, expression: string): Value {
  return { Id: 'ofTask', Label: label, Expression: expression, ReturnData: true };
}

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
