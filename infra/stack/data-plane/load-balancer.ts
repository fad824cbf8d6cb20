import type { Parameters } from '../parameters.ts';
import { attribute, ref, type Template } from '../template.ts';
import { fromInternet, nameTags, subnetIds } from './network.ts';

/** Seconds. The server keeps idle connections for 120 s: it must not close one that the load balancer still uses. */
const idleSeconds = 115;

/** Seconds that uploads have when a task is replaced, before the task is told to stop. */
const drainSeconds = 600;

/** A load balancer with TLS before the tasks. It streams bodies of any size. */
export function loadBalancer(
  { stage, certificate = '', loadBalancerCertificate }: Parameters,
  port: number,
): Template {
  return {
    Resources: {
      DataPlaneSecurity: {
        Type: 'AWS::EC2::SecurityGroup',
        Properties: {
          GroupDescription: 'HTTPS',
          VpcId: ref('DataPlaneNetwork'),
          SecurityGroupIngress: fromInternet(443),
          Tags: nameTags(stage),
        },
      },
      DataPlaneBalancer: {
        Type: 'AWS::ElasticLoadBalancingV2::LoadBalancer',
        DependsOn: ['DataPlaneInternetAttachment'],
        Properties: {
          // Names of 32 characters at most, by which CI has rights (infra/ci/aws-role.yml): 20 are those of the stage.
          Name: `stowage-${stage}-lb`,
          Type: 'application',
          Scheme: 'internet-facing',
          SecurityGroups: [attribute('DataPlaneSecurity', 'GroupId')],
          Subnets: subnetIds.map(ref),
          LoadBalancerAttributes: attributes({ 'idle_timeout.timeout_seconds': String(idleSeconds) }),
        },
      },
      DataPlaneTargets: {
        Type: 'AWS::ElasticLoadBalancingV2::TargetGroup',
        Properties: {
          Name: `stowage-${stage}-tg`,
          VpcId: ref('DataPlaneNetwork'),
          TargetType: 'ip',
          Protocol: 'HTTP',
          Port: port,
          HealthCheckPath: '/readyz',
          // The least of each.
          HealthCheckIntervalSeconds: 5,
          HealthCheckTimeoutSeconds: 4,
          HealthyThresholdCount: 2,
          UnhealthyThresholdCount: 2,
          TargetGroupAttributes: attributes({
            'deregistration_delay.timeout_seconds': String(drainSeconds),
            // Uploads take from milliseconds to minutes.
            'load_balancing.algorithm.type': 'least_outstanding_requests',
          }),
        },
      },
      DataPlaneListener: {
        Type: 'AWS::ElasticLoadBalancingV2::Listener',
        Properties: {
          LoadBalancerArn: ref('DataPlaneBalancer'),
          Protocol: 'HTTPS',
          Port: 443,
          SslPolicy: 'ELBSecurityPolicy-TLS13-1-2-2021-06',
          Certificates: [{ CertificateArn: loadBalancerCertificate ?? certificate }],
          DefaultActions: [{ Type: 'forward', TargetGroupArn: ref('DataPlaneTargets') }],
        },
      },
    },
  };
}

function attributes(values: Readonly<Record<string, string>>) {
  return Object.entries(values).map(([Key, Value]) => ({ Key, Value }));
}
