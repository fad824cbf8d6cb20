import { isDeepStrictEqual } from 'node:util';
import type { CodeHashes, Package, Resource, Template } from './template.ts';

/** What a deployment does to one resource. */
export interface Change {
  readonly id: string;
  readonly type: string;
  readonly kind: 'added' | 'changed' | 'replaced' | 'removed';
  /** Properties that differ; `Code` also if only the code does. */
  readonly properties: readonly string[];
}

/**
 * Properties whose change makes CloudFormation replace the resource ("Update requires: Replacement" in the template
 * reference), of types that hold data or have an address that others know.
 */
const replacing: Readonly<Record<string, readonly string[]>> = {
  'AWS::S3::Bucket': ['BucketName', 'BucketNamePrefix', 'BucketNamespace'],
  'AWS::Lambda::Function': ['FunctionName', 'PackageType'],
  'AWS::Logs::LogGroup': ['LogGroupName'],
  'AWS::SQS::Queue': ['QueueName', 'FifoQueue'],
  'AWS::SNS::Topic': ['TopicName', 'FifoTopic'],
  'AWS::ApiGatewayV2::Api': ['ProtocolType'],
  'AWS::ApiGatewayV2::DomainName': ['DomainName'],
  'AWS::ApiGatewayV2::Stage': ['StageName', 'ApiId'],
  'AWS::Route53::RecordSet': ['Name', 'HostedZoneId', 'HostedZoneName'],
  'AWS::EC2::EIP': ['Address', 'Domain', 'NetworkBorderGroup', 'TransferAddress'],
  'AWS::EC2::Instance': [
    'AvailabilityZone',
    'ImageId',
    'KeyName',
    'SubnetId',
    'NetworkInterfaces',
    'LaunchTemplate',
  ],
  'AWS::EC2::Volume': ['AvailabilityZone', 'SnapshotId', 'KmsKeyId', 'Encrypted'],
  'AWS::EC2::SecurityGroup': ['GroupName', 'GroupDescription', 'VpcId'],
  'AWS::EC2::VPC': ['CidrBlock'],
  'AWS::EC2::Subnet': ['CidrBlock', 'AvailabilityZone', 'VpcId'],
  'AWS::ElasticLoadBalancingV2::LoadBalancer': ['Name', 'Scheme', 'Type'],
  'AWS::ElasticLoadBalancingV2::TargetGroup': ['Name', 'Port', 'Protocol', 'TargetType', 'VpcId'],
  'AWS::ECS::Cluster': ['ClusterName'],
  'AWS::ECS::Service': ['ServiceName', 'Cluster', 'LaunchType', 'SchedulingStrategy'],
};

/** Types that come and go with routine changes, and hold nothing. */
const routine = [
  /^AWS::Lambda::(Permission|EventInvokeConfig|EventSourceMapping|Url|Alias)$/,
  /^AWS::ApiGatewayV2::(Route|Integration|ApiMapping)$/,
  /^AWS::(IAM|Events|CloudWatch|Scheduler|ApplicationAutoScaling)::/,
  /^AWS::ECS::TaskDefinition$/,
  // A data plane has a new one for each of its starts.
  /^AWS::CloudFormation::WaitCondition(Handle)?$/,
  /^AWS::EC2::EIPAssociation$/,
];

/** osls names a version by the hash of its function, whose change is shown. */
const hidden = 'AWS::Lambda::Version';

/** @param deployed undefined if there is no stack */
export function compare(deployed: Package | undefined, packaged: Package): readonly Change[] {
  const before = shownOf(deployed?.template);
  const after = shownOf(packaged.template);
  const ids = [...new Set([...Object.keys(after), ...Object.keys(before)])];
  const resources = ids.flatMap((id): Change[] => {
    const [old, now] = [before[id], after[id]];
    if (old === undefined)
      return now === undefined ? [] : [{ id, type: now.Type, kind: 'added', properties: [] }];
    if (now === undefined) return [{ id, type: old.Type, kind: 'removed', properties: [] }];
    return compareOne(id, old, now, codeDiffers(id, deployed?.code, packaged.code));
  });
  return deployed === undefined || isDeepStrictEqual(deployed.template.Outputs, packaged.template.Outputs)
    ? resources
    : [...resources, { id: 'Outputs', type: 'of the stack', kind: 'changed', properties: [] }];
}

function shownOf(template: Template | undefined): Readonly<Record<string, Resource>> {
  const entries = Object.entries(template?.Resources ?? {});
  return Object.fromEntries(entries.filter(([, { Type }]) => Type !== hidden));
}

function codeDiffers(id: string, deployed: CodeHashes | undefined, packaged: CodeHashes): boolean {
  return packaged.has(id) && packaged.get(id) !== deployed?.get(id);
}

function compareOne(id: string, old: Resource, now: Resource, code: boolean): Change[] {
  const [before, after] = [old.Properties ?? {}, now.Properties ?? {}];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const properties = names.filter((name) =>
    // The key of the package has the time in it.
    name === 'Code' ? code : !isDeepStrictEqual(before[name], after[name]),
  );
  const isOther = old.Type !== now.Type;
  if (properties.length === 0 && !isOther && isDeepStrictEqual(rest(old), rest(now))) return [];
  const isReplaced = isOther || properties.some((name) => replacing[now.Type]?.includes(name) === true);
  return [{ id, type: now.Type, kind: isReplaced ? 'replaced' : 'changed', properties }];
}

/** Attributes beside the properties, but for the order of creation. */
function rest(resource: Resource): unknown {
  return Object.fromEntries(
    Object.entries(resource).filter(([name]) => !/^(Properties|DependsOn)$/.test(name)),
  );
}

/** Changes that a person should confirm: something is removed or replaced that holds data or has an address. */
export function needConfirmation(changes: readonly Change[]): readonly Change[] {
  return changes.filter(
    ({ kind, type }) =>
      (kind === 'removed' || kind === 'replaced') && !routine.some((pattern) => pattern.test(type)),
  );
}

/** The bucket of osls's packages, which holds no images. */
export const packagesBucket = 'ServerlessDeploymentBucket';

/** Changes after which the registry would be without its images. */
export function loseImages(changes: readonly Change[]): readonly Change[] {
  return needConfirmation(changes).filter(
    ({ type, id }) => type === 'AWS::S3::Bucket' && id !== packagesBucket,
  );
}
