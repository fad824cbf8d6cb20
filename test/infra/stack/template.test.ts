import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { oneAtATime } from '../../../infra/deploy/one-at-a-time.ts';
import { describeFunctions, functionNames } from '../../../infra/gateway.ts';
import { environmentOf } from '../../../infra/stack/environment.ts';
import { rightsOf } from '../../../infra/stack/rights.ts';
import { roleOf } from '../../../infra/stack/roles.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
import { knownSetting } from '../../../lib/config/variables.ts';
import { cleanEnvironment, command } from '../../servers/process.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { runBuild } from '../run-node.ts';
import { examples, parametersWith } from './examples.ts';

interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal?: unknown;
  readonly Action: string | readonly string[];
  readonly Resource?: unknown;
}

interface PolicyDocument {
  readonly Statement: readonly Statement[];
}

/** All statements of policies anywhere below a value. */
function statementsIn(value: unknown): readonly Statement[] {
  if (typeof value !== 'object' || value === null) return [];
  const { Statement = [] } = value as Partial<PolicyDocument>;
  return [...Statement, ...Object.values(value).flatMap(statementsIn)];
}

/** Actions that AWS allows on all resources only, or asks for on all, with the source. */
const withoutResource: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    [
      ...['CreateNetworkInterface', 'DescribeNetworkInterfaces', 'DescribeSubnets', 'DeleteNetworkInterface'],
      ...['AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
    ].map((action) => [
      `ec2:${action}`,
      'https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html',
    ]),
  ),
  'ecr:GetAuthorizationToken':
    'https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html',
};

describe('the template of a stack', () => {
  for (const [what, parameters] of Object.entries(examples)) {
    const { Resources } = templateOf(parameters);

    it(`allows no wildcard of actions and no bare * for ${what}`, () => {
      const allowed = statementsIn(Resources).filter(({ Effect }) => Effect === 'Allow');
      assert.ok(allowed.length > functionNames.length);
      for (const { Action, Resource } of allowed)
        for (const action of [Action].flat()) {
          assert.doesNotMatch(action, /[*?]/);
          if (Resource === '*' || [Resource].flat().includes('*'))
            assert.ok(withoutResource[action], `${action} on *`);
        }
    });

    it(`gives each function the role of the table for ${what}`, () => {
      for (const name of functionNames) {
        const allowed = statementsIn(Resources[roleOf(name)]?.Properties?.['Policies']).filter(
          ({ Effect }) => Effect === 'Allow',
        );
        assert.deepEqual(
          allowed.map(({ Action }) => Action),
          rightsOf(name, parameters).map(({ actions }) => actions),
        );
      }
    });

    it(`has no secret in an environment for ${what}`, () => {
      for (const name of functionNames)
        for (const variable of Object.keys(environmentOf(name, parameters))) {
          const { setting } = knownSetting(variable) ?? {};
          assert.ok(!(setting?.kind === 'works' && setting.secret === true), variable);
        }
    });
  }

  it('makes a private and encrypted bucket that takes TLS only, keeps no versions and outlives the stack', () => {
    const { Bucket, BucketPolicy } = templateOf(parametersWith()).Resources;
    assert.deepEqual([Bucket?.DeletionPolicy, Bucket?.UpdateReplacePolicy], ['Retain', 'Retain']);
    const { PublicAccessBlockConfiguration, OwnershipControls, ...rest } = Bucket?.Properties ?? {};
    assert.deepEqual(PublicAccessBlockConfiguration, {
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    });
    assert.deepEqual(OwnershipControls, { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] });
    assert.match(JSON.stringify(rest['BucketEncryption']), /"SSEAlgorithm":"AES256"/);
    assert.equal(rest['VersioningConfiguration'], undefined);
    // No rule may expire what the registry needs.
    assert.deepEqual(rest['LifecycleConfiguration'], {
      Rules: [
        {
          Id: 'unfinished-multipart-uploads',
          Status: 'Enabled',
          AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
        },
      ],
    });
    const [tls, ...others] = statementsIn(BucketPolicy);
    assert.deepEqual(others, []);
    assert.ok(tls);
    assert.equal(tls.Effect, 'Deny');
    assert.deepEqual(Object.entries(tls).find(([name]) => name === 'Condition')?.[1], {
      Bool: { 'aws:SecureTransport': 'false' },
    });
  });

  it('changes nothing of a bucket that is there', () => {
    const { Resources, Outputs } = templateOf(parametersWith({ existingBucket: 'images' }));
    assert.ok(!Object.values(Resources).some(({ Type }) => Type.startsWith('AWS::S3::')));
    assert.equal(Outputs['Bucket']?.Value, 'images');
  });

  it('makes the certificate and the record of a host name, or says where the name must lead', () => {
    const named = {
      host: 'a.example.com',
      certificate: 'arn:aws:acm:eu-central-1:123456789012:certificate/0a1b',
    };
    const withZone = templateOf(parametersWith({ ...named, hostedZone: 'Z1' }));
    assert.equal(withZone.Resources['HostRecord']?.Type, 'AWS::Route53::RecordSet');
    assert.equal(withZone.Outputs['RegistryUrl']?.Value, 'https://a.example.com');
    const without = templateOf(parametersWith(named));
    assert.equal(without.Resources['HostRecord'], undefined);
    assert.deepEqual(without.Outputs['DnsRecord']?.Value, {
      'Fn::GetAtt': ['Domain', 'RegionalDomainName'],
    });
  });

  it('mails alarms where there is an address', () => {
    const actionsOf = (overrides: Readonly<Record<string, string>>) =>
      Object.values(templateOf(parametersWith(overrides)).Resources)
        .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
        .map(({ Properties }) => Properties?.['AlarmActions']);
    assert.equal(actionsOf({}).length, 5);
    assert.deepEqual(new Set(actionsOf({}).map((one) => JSON.stringify(one))), new Set(['[]']));
    for (const actions of actionsOf({ alarmEmail: 'ops@example.com' }))
      assert.deepEqual(actions, [{ Ref: 'AlarmTopic' }]);
  });

  it('has a dashboard of 50 metrics at most, which is free', () => {
    for (const [what, parameters] of Object.entries(examples)) {
      const body = JSON.stringify(templateOf(parameters).Resources['Dashboard']?.Properties);
      const metrics = body.match(/\[\\"AWS\/\w+/g) ?? [];
      assert.ok(metrics.length > 30 && metrics.length <= 50, `${metrics.length} with ${what}`);
    }
  });

  it('has names of resources that no other stage has', () => {
    const names = (stage: string) => JSON.stringify(templateOf({ ...parametersWith(), stage }).Resources);
    assert.equal(names('dev').replaceAll('dev', 'other'), names('other'));
  });
});

interface Compiled {
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Properties: Readonly<Record<string, unknown>> }>
  >;
}

describe('serverless.yml', () => {
  const root = join(import.meta.dirname, '../../..');

  const osls = async (folder: string, ...args: readonly string[]) => await run('package', folder, ...args);

  const run = async (verb: 'package' | 'deploy', folder: string, ...args: readonly string[]) => {
    const program = 'node_modules/serverless/bin/serverless.js';
    const env = cleanEnvironment({
      AWS_ACCESS_KEY_ID: 'none',
      AWS_SECRET_ACCESS_KEY: 'none',
      SLS_TRACKING_DISABLED: '1',
      SLS_NOTIFICATIONS_MODE: 'off',
    });
    const all = [program, verb, '--stage', 'dev', '--package', folder, ...args];
    return await oneAtATime(async () => await command(process.execPath, all, { cwd: root, env }));
  };

  let compiled: Compiled;

  before(async () => {
    const { code, output } = await runBuild();
    assert.equal(code, 0, output);
    const folder = await temporaryFolder('stack');
    after(() => {
      folder.remove();
    });
    await osls(
      folder.path,
      '--region',
      'eu-central-1',
      '--param',
      'throttleRate=7',
      '--param',
      'search=mysql',
    );
    const template = await readFile(join(folder.path, 'cloudformation-template-update-stack.json'), 'utf8');
    compiled = JSON.parse(template) as Compiled;
  });

  const ofType = (type: string) =>
    Object.values(compiled.Resources)
      .filter(({ Type }) => Type === type)
      .map(({ Properties }) => Properties);

  it('makes a function of each group, for arm64, with a role of its own', () => {
    const functions = ofType('AWS::Lambda::Function');
    assert.deepEqual(
      functions.map(({ FunctionName }) => String(FunctionName)).sort(),
      functionNames.map((name) => `stowage-dev-${name}`).sort(),
    );
    for (const { Architectures, Runtime, Role, MemorySize, Timeout } of functions) {
      assert.deepEqual([Architectures, Runtime], [['arm64'], 'nodejs24.x']);
      assert.equal(typeof Role, 'object');
      assert.ok(Number(MemorySize) >= 512 && Number(Timeout) >= 29);
    }
    assert.equal(new Set(functions.map(({ Role }) => JSON.stringify(Role))).size, functions.length);
    // No role of osls, which all functions would share.
    assert.equal(compiled.Resources['IamRoleLambdaExecution'], undefined);
  });

  it('has the routes of the gateway, with throttling, and access logs without paths', () => {
    const keys = Object.values(describeFunctions()).flatMap(({ events }) =>
      events.map(({ httpApi: { method, path } }) => `${method === '*' ? 'ANY' : method} ${path}`),
    );
    const routes = ofType('AWS::ApiGatewayV2::Route').map(({ RouteKey }) => String(RouteKey));
    assert.deepEqual(routes.sort(), keys.sort());
    const [stage] = ofType('AWS::ApiGatewayV2::Stage');
    assert.equal(stage?.['StageName'], '$default');
    assert.match(JSON.stringify(stage['DefaultRouteSettings']), /"ThrottlingRateLimit":7\b/);
    const { Format } = stage['AccessLogSettings'] as { Format: string };
    assert.equal(typeof JSON.parse(Format), 'object');
    assert.match(Format, /\$context\.routeKey/);
    assert.doesNotMatch(Format, /path|query|rawPath|authorizer|identity\.user/i);
  });

  it('keeps logs for as long as it is told', () => {
    const groups = ofType('AWS::Logs::LogGroup');
    assert.equal(groups.length, functionNames.length + 1);
    for (const { RetentionInDays } of groups) assert.equal(RetentionInDays, 30);
  });

  it('keeps the events of jobs that fail', () => {
    const configs = ofType('AWS::Lambda::EventInvokeConfig');
    assert.equal(configs.length, 2);
    for (const config of configs)
      assert.match(
        JSON.stringify(config),
        /"OnFailure":\{"Destination":\{"Fn::GetAtt":\["DeadLetters","Arn"\]/,
      );
  });

  it('makes nothing public, and allows no wildcards in what osls adds', () => {
    for (const { Action, Resource, Principal } of statementsIn(compiled).filter(
      ({ Effect }) => Effect === 'Allow',
    )) {
      assert.doesNotMatch([Action].flat().join(), /[*?]/);
      assert.notEqual(Resource, '*');
      assert.notEqual(Principal, '*');
    }
    const buckets = ofType('AWS::S3::Bucket');
    assert.equal(buckets.length, 2);
    for (const { PublicAccessBlockConfiguration, BucketEncryption } of buckets) {
      assert.deepEqual(new Set(Object.values(PublicAccessBlockConfiguration as object)), new Set([true]));
      assert.ok(BucketEncryption);
    }
  });

  const errorOf = async (refused: Promise<unknown>) =>
    await refused.then(
      () => assert.fail('it is accepted'),
      (reason: unknown) => String(reason),
    );

  it('deploys nothing that lacks the keys of tokens', async () => {
    assert.match(
      await errorOf(run('deploy', '.serverless')),
      / {2}- publicKeys: missing; npm run deploy makes them/,
    );
  });

  it('refuses wrong parameters in one message', async () => {
    const folder = await temporaryFolder('stack-refused');
    const error = await errorOf(
      osls(folder.path, '--param', 'auth=all', '--param', 'REGISTRY_LOG_LEVL=debug'),
    );
    folder.remove();
    assert.equal(error.match(/Invalid parameters of the stage dev:/g)?.length, 1);
    assert.match(error, / {2}- auth: "all" is not one of policy, htpasswd, none\n/);
    assert.match(
      error,
      / {2}- settings: REGISTRY_LOG_LEVL: no such setting; did you mean REGISTRY_LOG_LEVEL\?/,
    );
  });
});
