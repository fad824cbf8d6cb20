import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { oneAtATime } from '../../../infra/deploy/one-at-a-time.ts';
import type { Parameters } from '../../../infra/stack/parameters.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { cleanEnvironment, command } from '../../servers/process.ts';
import { runBuild } from '../run-node.ts';
import { examples } from '../stack/examples.ts';
import { neededActions } from './needed-actions.ts';
import { actionsOf, statementsOf, template, text, type Statement } from './role-template.ts';
import { matches, named, nameless, tagged } from './stack-names.ts';

const root = join(import.meta.dirname, '../../..');

/** Policies of the role, by the condition that switches them on. */
const conditionOf: Readonly<Record<string, string | undefined>> = {
  StackRights: undefined,
  StorageRights: undefined,
  GatewayRights: undefined,
  NetworkRights: 'HasDataPlane',
  InstanceRights: 'HasInstance',
  FargateRights: 'HasFargate',
  CloudFrontRights: 'HasCloudFront',
};
const rightsPolicies = Object.keys(conditionOf);
const statements = rightsPolicies.flatMap(statementsOf);

const deployments = Object.values(examples);

/** The statements that a role has for a deployment, with the parameters that docs/deploy/ci.md asks for. */
function statementsFor({ dataPlane, address }: Parameters): Statement[] {
  const on: Readonly<Record<string, boolean>> = {
    HasDataPlane: dataPlane !== 'none',
    HasInstance: dataPlane === 'instance',
    HasFargate: dataPlane === 'fargate',
    HasCloudFront: address === 'cloudfront',
  };
  return rightsPolicies.filter((id) => on[conditionOf[id] ?? ''] ?? true).flatMap(statementsOf);
}

const allowed = new Set(statements.flatMap(actionsOf));

describe('the role of CI', () => {
  it('is that of one environment of one repository', () => {
    const { AssumeRolePolicyDocument: trust } = template.Resources['Role']?.Properties as unknown as {
      AssumeRolePolicyDocument: { Statement: unknown[] };
    };
    assert.deepEqual(trust.Statement, [
      {
        Effect: 'Allow',
        Principal: {
          Federated: { 'Fn::If': ['MakesProvider', { Ref: 'OidcProvider' }, { Ref: 'Provider' }] },
        },
        Action: 'sts:AssumeRoleWithWebIdentity',
        Condition: {
          StringEquals: {
            'token.actions.githubusercontent.com:aud': { Ref: 'Audience' },
            'token.actions.githubusercontent.com:sub': { Ref: 'Subject' },
          },
        },
      },
    ]);
    const subject = new RegExp(`^(?:${template.Parameters['Subject']?.AllowedPattern})$`);
    assert.match('repo:team/stowage:environment:preview', subject);
    assert.match('repo:team@1/stowage@2:environment:production', subject);
    for (const wide of ['*', 'repo:team/stowage:*', 'repo:team/*:environment:preview'])
      assert.doesNotMatch(wide, subject);
  });

  it('has no wildcard among its actions, and a source for each bare *', () => {
    for (const one of [...statements, ...statementsOf('Boundary')])
      for (const action of actionsOf(one)) assert.match(action, /^[a-z0-9-]+:[A-Za-z0-9]+$/);
    const bare = text
      .split('\n')
      .flatMap((line, i, lines) => (line.includes("Resource: '*'") ? [lines[i - 1]] : []));
    assert.ok(bare.length > 0);
    for (const comment of bare) assert.match(comment ?? '', /# https:\/\/docs\.aws\.amazon\.com\//);
  });

  it('names the stage in all resources that can have its name, or in their tag', () => {
    for (const { Sid, Resource, Condition } of statements)
      for (const resource of [Resource].flat()) {
        const arn = JSON.stringify(resource);
        assert.ok(
          /\$\{Stage\}|\$\{ExistingBucket\}|\$\{HostedZone\}/.test(arn) ||
            /"aws:(Request|Resource)Tag\/Name":\{"Fn::Sub":"stowage-\$\{Stage\}-/.test(
              JSON.stringify(Condition ?? {}),
            ) ||
            // Tags of what the same request makes.
            JSON.stringify(Condition ?? {}).includes('ec2:CreateAction') ||
            arn === '"*"' ||
            nameless.test(arn),
          `${Sid}: ${arn}`,
        );
      }
  });

  it('has the names and the tags that the stacks have', () => {
    const stage = /\$\{Stage\}/g;
    for (const parameters of deployments) {
      const resources = JSON.stringify(statementsFor(parameters).map(({ Resource }) => Resource));
      const patterns = [...resources.matchAll(/"Fn::Sub":"(.*?)"/g)].map(([, pattern = '']) =>
        pattern.replace(stage, 'dev'),
      );
      for (const [id, { Type, Properties = {} }] of Object.entries(templateOf(parameters).Resources)) {
        if (tagged.includes(Type))
          assert.deepEqual(Properties['Tags'], [{ Key: 'Name', Value: 'stowage-dev-data-plane' }], id);
        const arn = named[Type]?.(Properties as Record<string, string>);
        if (arn !== undefined)
          assert.ok(
            patterns.some((one) => matches(arn, one)),
            arn,
          );
      }
    }
    const tags = statements.flatMap(({ Condition }) => [
      ...JSON.stringify(Condition ?? {}).matchAll(/Tag\/Name":\{"Fn::Sub":"(.*?)"/g),
    ]);
    assert.ok(tags.length > 3);
    for (const [, tag] of tags) assert.equal(tag?.replace(stage, 'dev'), 'stowage-dev-data-plane');
  });

  it('has rights to a data plane and CloudFront only where they are asked for', () => {
    for (const id of rightsPolicies) assert.equal(template.Resources[id]?.Condition, conditionOf[id], id);
    const policies = Object.entries(template.Resources).filter(
      ([, { Type }]) => Type === 'AWS::IAM::ManagedPolicy',
    );
    assert.deepEqual(policies.map(([id]) => id).sort(), [...rightsPolicies, 'Boundary'].sort());
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: managed policies of a role
    assert.ok(rightsPolicies.length <= 10);
  });

  it('gives roles to those services only that run them', () => {
    const passes = statements.filter((one) => actionsOf(one).includes('iam:PassRole'));
    const services = passes.map(({ Condition }) => Condition);
    assert.deepEqual(services, [
      { StringEquals: { 'iam:PassedToService': 'lambda.amazonaws.com' } },
      {
        StringEquals: {
          'iam:PassedToService': {
            'Fn::If': ['HasInstance', 'ec2.amazonaws.com', 'ecs-tasks.amazonaws.com'],
          },
        },
      },
    ]);
  });

  it('makes roles within the boundary only', () => {
    const makes = statements.filter((one) => /iam:(CreateRole|Put|Attach)/.test(actionsOf(one).join(' ')));
    assert.equal(makes.length, 1);
    assert.deepEqual(makes[0]?.Condition, {
      StringEquals: { 'iam:PermissionsBoundary': { Ref: 'Boundary' } },
    });
    for (const action of [
      'iam:DeleteRolePermissionsBoundary',
      'iam:UpdateAssumeRolePolicy',
      'iam:AttachRolePolicy',
    ])
      assert.ok(!allowed.has(action), action);
  });

  it('has policies that are short enough for IAM', () => {
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 6,144 characters without white space
    for (const id of [...rightsPolicies, 'Boundary'])
      assert.ok(
        JSON.stringify(statementsOf(id)).length < 6144,
        `${id}: ${JSON.stringify(statementsOf(id)).length}`,
      );
  });
});

describe('the rights of the role of CI', () => {
  /** What osls makes of the functions. */
  let typesOfFunctions: readonly string[];

  before(async () => {
    await runBuild();
    const folder = await temporaryFolder('package');
    const args = [
      'node_modules/serverless/bin/serverless.js',
      'package',
      '--stage',
      'dev',
      '--package',
      folder.path,
      '--param',
      'eventQueue=true',
      '--param',
      'REGISTRY_NOTIFICATIONS_ENDPOINTS=[{name: builds, url: "https://ci.example.com/"}]',
    ];
    const env = cleanEnvironment({ SLS_TRACKING_DISABLED: '1' });
    await oneAtATime(async () => await command(process.execPath, args, { cwd: root, env }));
    const packaged = readFileSync(join(folder.path, 'cloudformation-template-update-stack.json'), 'utf8');
    folder.remove();
    const { Resources } = JSON.parse(packaged) as { Resources: Record<string, { Type: string }> };
    typesOfFunctions = Object.values(Resources).map(({ Type }) => Type);
  });

  it('are those that the types of all resources ask for', () => {
    const seen = new Set<string>();
    for (const parameters of deployments) {
      const granted = new Set(statementsFor(parameters).flatMap(actionsOf));
      const types = Object.values(templateOf(parameters).Resources).map(({ Type }) => Type);
      for (const type of [...typesOfFunctions, ...types]) {
        seen.add(type);
        const needed = neededActions[type];
        assert.ok(
          needed,
          `add what ${type} needs to infra/ci/aws-role.yml, and to test/infra/ci/needed-actions.ts`,
        );
        for (const action of needed) assert.ok(granted.has(action), `${type} needs ${action}`);
      }
    }
    assert.deepEqual([...seen].sort(), Object.keys(neededActions).sort());
  });

  it('are no others, but for those of the commands and of readers', () => {
    const byTypes = new Set(Object.values(neededActions).flat());
    const others = [...allowed].filter((action) => !byTypes.has(action));
    const services = new Set(others.map((action) => action.split(':')[0]));
    assert.deepEqual([...services].sort(), [
      'cloudformation',
      'ec2',
      'events',
      'iam',
      'lambda',
      'logs',
      's3',
      'secretsmanager',
      'sns',
      'sqs',
      'ssm',
    ]);
    const writes = others.filter((action) => !/:(Describe|Get|List|Validate)/.test(action));
    assert.deepEqual(writes.sort(), [
      'cloudformation:CreateChangeSet',
      'cloudformation:CreateStack',
      'cloudformation:DeleteChangeSet',
      'cloudformation:DeleteStack',
      'cloudformation:ExecuteChangeSet',
      'cloudformation:UpdateStack',
      'events:TagResource',
      'events:UntagResource',
      'iam:UpdateRoleDescription',
      'lambda:DeleteFunctionConcurrency',
      'lambda:InvokeFunction',
      'lambda:PutFunctionConcurrency',
      'logs:CreateLogDelivery',
      'logs:DeleteLogDelivery',
      'logs:DeleteRetentionPolicy',
      'logs:PutResourcePolicy',
      'logs:UpdateLogDelivery',
      's3:DeleteObject',
      's3:DeleteObjectVersion',
      's3:PutBucketTagging',
      's3:PutBucketVersioning',
      's3:PutObject',
      's3:TagResource',
      's3:UntagResource',
      'secretsmanager:CreateSecret',
      'secretsmanager:DeleteSecret',
      'secretsmanager:PutSecretValue',
      'secretsmanager:RestoreSecret',
    ]);
  });
});
