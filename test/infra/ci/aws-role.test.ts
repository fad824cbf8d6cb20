import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse, type ScalarTag, type CollectionTag } from 'yaml';
import { functionNames } from '../../../infra/gateway.ts';
import { rights } from '../../../infra/stack/rights.ts';
import { oneAtATime } from '../../../infra/deploy/one-at-a-time.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { cleanEnvironment, command } from '../../servers/process.ts';
import { runBuild } from '../run-node.ts';
import { certificate, examples, parametersWith } from '../stack/examples.ts';
import { neededActions } from './needed-actions.ts';

const root = join(import.meta.dirname, '../../..');
const text = readFileSync(join(root, 'infra/ci/aws-role.yml'), 'utf8');

interface Statement {
  readonly Sid: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

interface RoleTemplate {
  readonly Parameters: Readonly<Record<string, { readonly AllowedPattern?: string }>>;
  readonly Resources: Readonly<Record<string, { readonly Type: string; readonly Properties: never }>>;
}

/** CloudFormation's short forms, as their long ones. */
const shortForms: (ScalarTag | CollectionTag)[] = ['Sub', 'Ref', 'GetAtt', 'Equals', 'Not', 'If'].flatMap(
  (name) => {
    const long = name === 'Ref' ? name : `Fn::${name}`;
    const resolve = (value: unknown) => ({ [long]: value });
    return [
      { tag: `!${name}`, resolve: (value: string) => resolve(value) },
      {
        tag: `!${name}`,
        collection: 'seq' as const,
        resolve: (value: unknown) => resolve((value as { toJSON(): unknown }).toJSON()),
      },
    ];
  },
);

const template = parse(text, { customTags: shortForms }) as RoleTemplate;

/** The statements of a policy, with those that a condition switches on. */
function statementsOf(id: string): Statement[] {
  const { PolicyDocument: document } = template.Resources[id]?.Properties as unknown as {
    PolicyDocument: { Statement: (Statement | { 'Fn::If': [string, Statement] })[] };
  };
  return document.Statement.map((one) => ('Fn::If' in one ? one['Fn::If'][1] : one));
}

const rightsPolicies = ['StackRights', 'StorageRights', 'GatewayRights'];
const statements = rightsPolicies.flatMap(statementsOf);

/** Those that the role can deploy: it has no rights for a data plane, nor for CloudFront. */
const deployable = Object.values(examples).filter(({ address }) => address === 'gateway');

const actionsOf = ({ Action }: Statement) => [Action].flat();
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

  it('names the stage in all resources that can have its name', () => {
    for (const { Sid, Resource } of statements)
      for (const resource of [Resource].flat()) {
        const arn = JSON.stringify(resource);
        assert.ok(
          /\$\{Stage\}|\$\{ExistingBucket\}|\$\{HostedZone\}/.test(arn) ||
            arn === '"*"' ||
            /:apigateway:|:change\//.test(arn),
          `${Sid}: ${arn}`,
        );
      }
  });

  it('makes roles within the boundary only', () => {
    const makes = statements.filter((one) => /iam:(Create|Put|Attach)/.test(actionsOf(one).join(' ')));
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
  let types: ReadonlySet<string>;

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
    ];
    const env = cleanEnvironment({ SLS_TRACKING_DISABLED: '1' });
    await oneAtATime(async () => await command(process.execPath, args, { cwd: root, env }));
    const packaged = readFileSync(join(folder.path, 'cloudformation-template-update-stack.json'), 'utf8');
    folder.remove();
    const { Resources } = JSON.parse(packaged) as { Resources: Record<string, { Type: string }> };
    // What osls makes of the functions, and all that parameters ask for.
    const all = [Resources, ...deployable.map((parameters) => templateOf(parameters).Resources)];
    types = new Set(all.flatMap((resources) => Object.values(resources).map(({ Type }) => Type)));
  });

  after(() => {
    assert.ok(types.size > 15);
  });

  it('are those that the types of all resources ask for', () => {
    for (const type of types) {
      const needed = neededActions[type];
      assert.ok(
        needed,
        `add what ${type} needs to infra/ci/aws-role.yml, and to test/infra/ci/needed-actions.ts`,
      );
      for (const action of needed) assert.ok(allowed.has(action), `${type} needs ${action}`);
    }
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

describe('the boundary of functions', () => {
  const boundary = new Set(statementsOf('Boundary').flatMap(actionsOf));

  it('has all rights of functions, and no other', () => {
    const ofFunctions = new Set(
      deployable
        .flatMap(rights)
        .filter((right) => right.for.some((one) => (functionNames as readonly string[]).includes(one)))
        .flatMap(({ actions }) => actions),
    );
    assert.deepEqual([...boundary].sort(), [...ofFunctions].sort());
  });

  it('limits all roles of a stack that is deployed with it', () => {
    const arn = 'arn:aws:iam::123456789012:policy/stowage-ci-Boundary-1A2B';
    const parameters = parametersWith({ permissionsBoundary: arn, host: 'a.example.com', certificate });
    const roles = Object.values(templateOf(parameters).Resources).filter(
      ({ Type }) => Type === 'AWS::IAM::Role',
    );
    assert.equal(roles.length, functionNames.length);
    for (const { Properties } of roles) assert.equal(Properties?.['PermissionsBoundary'], arn);
    assert.throws(
      () => parametersWith({ permissionsBoundary: 'boundary' }),
      /permissionsBoundary: .* is not the ARN of a policy/,
    );
  });
});
