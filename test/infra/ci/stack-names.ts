/** What has no name: AWS makes its id, or it is not the account's. The template says so beside each. */
export const nameless =
  /:apigateway:|:change\/|:(security-group-rule|network-interface|volume|scalable-target|distribution)\/\*|:event-source-mapping:\*|::image\/|\/aws-service-role\/|::parameter\/aws\//;

/** What EC2 knows by an id and by its tag. */
export const tagged = [
  'EIP',
  'Instance',
  'InternetGateway',
  'RouteTable',
  'SecurityGroup',
  'Subnet',
  'VPC',
].map((type) => `AWS::EC2::${type}`);

/** ARNs of what the stacks themselves give a name. */
export const named: Readonly<Record<string, (properties: Readonly<Record<string, string>>) => string>> = {
  'AWS::CloudFront::Function': ({ Name }) => `cloudfront::\${AWS::AccountId}:function/${Name}`,
  'AWS::ECS::Cluster': ({ ClusterName }) => `ecs:*:\${AWS::AccountId}:cluster/${ClusterName}`,
  'AWS::ECS::TaskDefinition': ({ Family }) => `ecs:*:\${AWS::AccountId}:task-definition/${Family}:1`,
  'AWS::ElasticLoadBalancingV2::LoadBalancer': ({ Name }) =>
    `elasticloadbalancing:*:\${AWS::AccountId}:loadbalancer/app/${Name}/50dc6c49`,
  'AWS::ElasticLoadBalancingV2::TargetGroup': ({ Name }) =>
    `elasticloadbalancing:*:\${AWS::AccountId}:targetgroup/${Name}/50dc6c49`,
  'AWS::Logs::LogGroup': ({ LogGroupName }) => `logs:*:\${AWS::AccountId}:log-group:${LogGroupName}`,
};

/** Whether a pattern of IAM without its partition takes an ARN. */
export function matches(arn: string, pattern: string): boolean {
  const escaped = pattern.replace(/[$.+?^{}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
  return new RegExp(`^${escaped}$`).test(`arn:\${AWS::Partition}:${arn}`);
}
