import { createHash } from 'node:crypto';
import type { Parameters } from '../parameters.ts';
import { policyOf, serviceRole } from '../roles.ts';
import { attribute, mergeTemplates, ref, type Resource, type Template } from '../template.ts';
import { instanceAddress } from './address.ts';
import { fromInternet, nameTags, network, subnetIds } from './network.ts';
import { imagePolicies } from './settings.ts';
import { instanceUserData } from './user-data.ts';

/** The newest image of Debian 13, by a public parameter: https://wiki.debian.org/Cloud/AmazonEC2Image */
const debian = '{{resolve:ssm:/aws/service/debian/release/13/latest/arm64}}';

/** One small instance with the data plane, and Caddy before both planes. */
export function instance(parameters: Parameters): Template {
  return mergeTemplates([
    network(parameters.stage),
    { Resources: { ...role(parameters), ...machine(parameters), ...address(parameters) } },
    {
      Resources: {},
      Outputs: {
        DataPlaneUrl: {
          Description: 'The address of the data plane',
          Value: `https://${parameters.host ?? ''}`,
        },
        ...(parameters.hostedZone === undefined && {
          DnsRecord: {
            Description: `The address that ${parameters.host ?? ''} must lead to, by an A record`,
            Value: instanceAddress,
          },
        }),
      },
    },
  ]);
}

function role(parameters: Parameters): Record<string, Resource> {
  return {
    DataPlaneRole: serviceRole('ec2', [
      policyOf('data-plane', parameters),
      ...imagePolicies(parameters.image ?? ''),
    ]),
    DataPlaneProfile: {
      Type: 'AWS::IAM::InstanceProfile',
      Properties: { Roles: [ref('DataPlaneRole')] },
    },
  };
}

function machine(parameters: Parameters): Record<string, Resource> {
  const signal = signalOf(parameters);
  return {
    DataPlaneSecurity: {
      Type: 'AWS::EC2::SecurityGroup',
      Properties: {
        GroupDescription: 'HTTPS, and HTTP for certificates and redirects',
        VpcId: ref('DataPlaneNetwork'),
        SecurityGroupIngress: fromInternet(80, 443),
        Tags: nameTags(parameters.stage),
      },
    },
    [signal]: { Type: 'AWS::CloudFormation::WaitConditionHandle' },
    // The deployment ends when the data plane is ready, or fails with its reason.
    [`${signal}Received`]: {
      Type: 'AWS::CloudFormation::WaitCondition',
      DependsOn: ['DataPlaneInstance'],
      Properties: { Handle: ref(signal), Timeout: '900', Count: 1 },
    },
    DataPlaneInstance: {
      Type: 'AWS::EC2::Instance',
      DependsOn: ['DataPlaneRouteOut', `${subnetIds[0]}Routes`],
      Properties: {
        ImageId: debian,
        InstanceType: parameters.instanceType,
        IamInstanceProfile: ref('DataPlaneProfile'),
        SubnetId: ref(subnetIds[0]),
        SecurityGroupIds: [attribute('DataPlaneSecurity', 'GroupId')],
        // One hop: the container of the data plane has the network of the machine.
        MetadataOptions: { HttpTokens: 'required', HttpEndpoint: 'enabled', HttpPutResponseHopLimit: 1 },
        // A burstable instance that has used its credits slows down, instead of costing more.
        ...(parameters.instanceType.startsWith('t') && { CreditSpecification: { CPUCredits: 'standard' } }),
        BlockDeviceMappings: [
          {
            // Of Debian's images.
            DeviceName: '/dev/xvda',
            Ebs: { VolumeType: 'gp3', VolumeSize: 8, Encrypted: true, DeleteOnTermination: true },
          },
        ],
        // Changed user data stops the instance and starts it: its volume with the certificates stays.
        UserData: instanceUserData(parameters, signal),
        Tags: nameTags(parameters.stage),
      },
    },
  };
}

/** A handle takes one signal, so each change of the user data has its own. */
function signalOf(parameters: Parameters): string {
  const text = JSON.stringify(instanceUserData(parameters, 'signal'));
  return `DataPlaneReady${createHash('sha256').update(text).digest('hex').slice(0, 12)}`;
}

/** The address outlives the instance. The functions name it as their proxy, so it depends on nothing. */
function address(parameters: Parameters): Record<string, Resource> {
  const { stage, host = '', hostedZone } = parameters;
  return {
    DataPlaneAddress: {
      Type: 'AWS::EC2::EIP',
      Properties: { Domain: 'vpc', Tags: nameTags(stage) },
    },
    DataPlaneAddressAssociation: {
      Type: 'AWS::EC2::EIPAssociation',
      // A change of the address would break the downloads of the first start.
      DependsOn: [`${signalOf(parameters)}Received`],
      Properties: {
        AllocationId: attribute('DataPlaneAddress', 'AllocationId'),
        InstanceId: ref('DataPlaneInstance'),
      },
    },
    ...(hostedZone !== undefined && {
      DataPlaneRecord: {
        Type: 'AWS::Route53::RecordSet',
        Properties: {
          HostedZoneId: hostedZone,
          Name: host,
          Type: 'A',
          TTL: '60',
          ResourceRecords: [instanceAddress],
        },
      },
    }),
  };
}
