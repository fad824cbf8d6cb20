import { ref, type Resource, type Template, type Value } from '../template.ts';

/** The logical ids of the subnets, in two zones, as load balancers demand. */
export const subnetIds = ['DataPlaneSubnetA', 'DataPlaneSubnetB'] as const;

/** All addresses of the network. */
export const networkRange = '10.42.0.0/24';

const internet = '0.0.0.0/0';

/**
 * A network for the data plane alone, with public addresses: it costs nothing, while a private one needs a NAT gateway for the
 * way out.
 */
export function network(stage: string): Template {
  const tags = nameTags(stage);
  const subnets = subnetIds.map((id, index): [string, Resource] => [
    id,
    {
      Type: 'AWS::EC2::Subnet',
      Properties: {
        VpcId: ref('DataPlaneNetwork'),
        CidrBlock: `10.42.0.${index * 64}/26`,
        AvailabilityZone: { 'Fn::Select': [index, { 'Fn::GetAZs': '' }] },
        MapPublicIpOnLaunch: true,
        Tags: tags,
      },
    },
  ]);
  const routes = subnetIds.map((id): [string, Resource] => [
    `${id}Routes`,
    {
      Type: 'AWS::EC2::SubnetRouteTableAssociation',
      Properties: { SubnetId: ref(id), RouteTableId: ref('DataPlaneRoutes') },
    },
  ]);
  return {
    Resources: {
      DataPlaneNetwork: {
        Type: 'AWS::EC2::VPC',
        Properties: {
          CidrBlock: networkRange,
          EnableDnsSupport: true,
          EnableDnsHostnames: true,
          Tags: tags,
        },
      },
      DataPlaneInternet: { Type: 'AWS::EC2::InternetGateway', Properties: { Tags: tags } },
      DataPlaneInternetAttachment: {
        Type: 'AWS::EC2::VPCGatewayAttachment',
        Properties: { VpcId: ref('DataPlaneNetwork'), InternetGatewayId: ref('DataPlaneInternet') },
      },
      DataPlaneRoutes: {
        Type: 'AWS::EC2::RouteTable',
        Properties: { VpcId: ref('DataPlaneNetwork'), Tags: tags },
      },
      DataPlaneRouteOut: {
        Type: 'AWS::EC2::Route',
        DependsOn: ['DataPlaneInternetAttachment'],
        Properties: {
          RouteTableId: ref('DataPlaneRoutes'),
          DestinationCidrBlock: internet,
          GatewayId: ref('DataPlaneInternet'),
        },
      },
      ...Object.fromEntries([...subnets, ...routes]),
    },
  };
}

/** The name of whatever EC2 knows by an id only, and by which CI has rights to it (infra/ci/aws-role.yml). */
export function nameTags(stage: string) {
  return [{ Key: 'Name', Value: `stowage-${stage}-data-plane` }];
}

/** Lets all the internet connect to ports. */
export function fromInternet(...ports: readonly number[]): Value {
  return ports.map((port) => ({ IpProtocol: 'tcp', FromPort: port, ToPort: port, CidrIp: internet }));
}
