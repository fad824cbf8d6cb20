import type { Parameters } from '../parameters.ts';
import { policyOf, serviceRole } from '../roles.ts';
import {
  attribute,
  mergeTemplates,
  ref,
  sub,
  type Resource,
  type Template,
  type Value,
} from '../template.ts';
import { loadBalancer } from './load-balancer.ts';
import { nameTags, network, networkRange, subnetIds } from './network.ts';
import { scaling } from './scaling.ts';
import { dataPlaneSettings, imagePolicies } from './settings.ts';

/** The port of the image. */
export const port = 5000;

/** A quarter of a processor, and MiB: the smallest task, which holds what one process needs at most (docs/limits.md). */
const taskSize = { cpu: 256, memory: 512 } as const;

/** Seconds: Fargate's longest, of which the server keeps 10 to take the last connections and to end. */
const stopSeconds = 120;

/** Tasks of Fargate behind a load balancer: as many as their requests and bytes need. */
export function fargate(parameters: Parameters): Template {
  return mergeTemplates([
    network(parameters.stage),
    loadBalancer(parameters, port),
    scaling(),
    {
      Resources: { ...roles(parameters), ...service(parameters) },
      Outputs: {
        DataPlaneUrl: {
          Description: 'The address of the data plane, behind CloudFront',
          Value: sub('https://${DataPlaneBalancer.DNSName}'),
        },
      },
    },
  ]);
}

/** One for what runs in the task, and one for what starts it. */
function roles(parameters: Parameters): Record<string, Resource> {
  return {
    DataPlaneRole: serviceRole('ecs-tasks', [policyOf('data-plane', parameters)]),
    DataPlaneStartRole: serviceRole('ecs-tasks', [
      {
        PolicyName: 'logs',
        PolicyDocument: {
          Version: '2012-10-17',
          Statement: [
            {
              Effect: 'Allow',
              Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
              Resource: attribute('DataPlaneLogs', 'Arn'),
            },
          ],
        },
      },
      ...imagePolicies(parameters.image ?? ''),
    ]),
  };
}

function service(parameters: Parameters): Record<string, Resource> {
  const { stage, logRetentionDays } = parameters;
  return {
    DataPlaneLogs: {
      Type: 'AWS::Logs::LogGroup',
      Properties: { LogGroupName: `/stowage/${stage}/data-plane`, RetentionInDays: logRetentionDays },
    },
    DataPlaneCluster: { Type: 'AWS::ECS::Cluster', Properties: { ClusterName: `stowage-${stage}` } },
    DataPlaneTask: {
      Type: 'AWS::ECS::TaskDefinition',
      Properties: {
        Family: `stowage-${stage}-data-plane`,
        RequiresCompatibilities: ['FARGATE'],
        RuntimePlatform: { CpuArchitecture: 'ARM64', OperatingSystemFamily: 'LINUX' },
        NetworkMode: 'awsvpc',
        Cpu: String(taskSize.cpu),
        Memory: String(taskSize.memory),
        TaskRoleArn: attribute('DataPlaneRole', 'Arn'),
        ExecutionRoleArn: attribute('DataPlaneStartRole', 'Arn'),
        ContainerDefinitions: [container(parameters)],
      },
    },
    DataPlaneTaskSecurity: {
      Type: 'AWS::EC2::SecurityGroup',
      Properties: {
        GroupDescription: 'From the load balancer',
        VpcId: ref('DataPlaneNetwork'),
        SecurityGroupIngress: [
          {
            IpProtocol: 'tcp',
            FromPort: port,
            ToPort: port,
            SourceSecurityGroupId: attribute('DataPlaneSecurity', 'GroupId'),
          },
        ],
        Tags: nameTags(stage),
      },
    },
    DataPlaneService: {
      Type: 'AWS::ECS::Service',
      // A target group takes tasks once a listener has it.
      DependsOn: ['DataPlaneListener', 'DataPlaneRouteOut', ...subnetIds.map((id) => `${id}Routes`)],
      Properties: {
        Cluster: ref('DataPlaneCluster'),
        LaunchType: 'FARGATE',
        TaskDefinition: ref('DataPlaneTask'),
        // No DesiredCount, which an update would set back from what scaling has set.
        DeploymentConfiguration: {
          MinimumHealthyPercent: 100,
          MaximumPercent: 200,
          DeploymentCircuitBreaker: { Enable: true, Rollback: true },
        },
        HealthCheckGracePeriodSeconds: 60,
        LoadBalancers: [
          { ContainerName: 'data-plane', ContainerPort: port, TargetGroupArn: ref('DataPlaneTargets') },
        ],
        NetworkConfiguration: {
          AwsvpcConfiguration: {
            // The way out to the image, the bucket and the secrets, without a NAT gateway.
            AssignPublicIp: 'ENABLED',
            SecurityGroups: [attribute('DataPlaneTaskSecurity', 'GroupId')],
            Subnets: subnetIds.map(ref),
          },
        },
      },
    },
  };
}

function container(parameters: Parameters): Value {
  const { image = '', region } = parameters;
  const settings = {
    ...dataPlaneSettings(parameters),
    // Its processes share what one has at most; further tasks are added instead.
    REGISTRY_HTTP_WORKERS: '1',
    REGISTRY_HTTP_DRAINTIMEOUT: `${stopSeconds - 10}s`,
    // The load balancer.
    REGISTRY_HTTP_TRUSTEDPROXIES: networkRange,
  };
  return {
    Name: 'data-plane',
    Image: image,
    Command: ['serve', 'data-plane'],
    Essential: true,
    PortMappings: [{ ContainerPort: port, Protocol: 'tcp' }],
    Environment: Object.entries(settings).map(([Name, Value]) => ({ Name, Value })),
    ReadonlyRootFilesystem: true,
    StopTimeout: stopSeconds,
    LogConfiguration: {
      LogDriver: 'awslogs',
      Options: {
        'awslogs-group': ref('DataPlaneLogs'),
        'awslogs-region': region,
        'awslogs-stream-prefix': 'data-plane',
      },
    },
  };
}
