import type { Parameters } from '../parameters.ts';
import { attribute, ref } from '../template.ts';
import type { Watched } from '../watched.ts';

/** What alarms watch of the data plane, if there is one. */
export function watchedOfDataPlane({ dataPlane, stage }: Parameters): Readonly<Record<string, Watched>> {
  if (dataPlane === 'none') return {};
  return dataPlane === 'instance' ? ofInstance(stage) : ofFargate(stage);
}

/** EC2 recovers by itself an instance whose hardware has failed. */
function ofInstance(stage: string): Readonly<Record<string, Watched>> {
  return {
    // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-system-instance-status-check.html
    DataPlaneFailedAlarm: {
      description: `The instance of the data plane of ${stage} fails the checks of EC2; if it is not back in a few minutes, stop and start it.`,
      namespace: 'AWS/EC2',
      metric: 'StatusCheckFailed',
      dimensions: { InstanceId: ref('DataPlaneInstance') },
      statistic: 'Maximum',
      atLeast: 1,
    },
  };
}

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html */
function ofFargate(stage: string): Readonly<Record<string, Watched>> {
  const balancer = { LoadBalancer: attribute('DataPlaneBalancer', 'LoadBalancerFullName') };
  const common = { namespace: 'AWS/ApplicationELB', dimensions: balancer };
  return {
    DataPlaneFailedAlarm: {
      ...common,
      description: `No task of the data plane of ${stage} is ready; the log group /stowage/${stage}/data-plane says why.`,
      metric: 'HealthyHostCount',
      dimensions: { ...balancer, TargetGroup: attribute('DataPlaneTargets', 'TargetGroupFullName') },
      statistic: 'Maximum',
      below: 1,
      // There are no values when no task is registered.
      isMissingBad: true,
      // It waits until the first tasks are ready.
      dependsOn: 'DataPlaneService',
    },
    DataPlaneErrorsAlarm: {
      ...common,
      description: `The data plane of ${stage} has answered five requests or more with 5xx in five minutes.`,
      metric: 'HTTPCode_Target_5XX_Count',
      statistic: 'Sum',
      atLeast: 5,
    },
    DataPlaneBalancerErrorsAlarm: {
      ...common,
      description: `The load balancer of ${stage} had no answer of the data plane to five requests or more in five minutes.`,
      metric: 'HTTPCode_ELB_5XX_Count',
      statistic: 'Sum',
      atLeast: 5,
    },
  };
}
