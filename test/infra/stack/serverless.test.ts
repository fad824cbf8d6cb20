import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { oneAtATime } from '../../../infra/deploy/one-at-a-time.ts';
import {
  describeFunctions,
  functionNames,
  invokedFunctionNames,
  scheduledFunctionNames,
} from '../../../infra/gateway.ts';
import { cleanEnvironment, command } from '../../servers/process.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { runBuild } from '../run-node.ts';
import { certificate } from './examples.ts';
import { statementsIn } from './statements.ts';

interface Compiled {
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Properties: Readonly<Record<string, unknown>> }>
  >;
}

/** The logical ids that a value refers to, and pseudo parameters. */
function referencesIn(value: unknown): ReadonlySet<string> {
  if (typeof value !== 'object' || value === null) return new Set();
  const { Ref, 'Fn::GetAtt': attribute, 'Fn::Sub': sub } = value as Readonly<Record<string, unknown>>;
  const [text, own] = [sub].flat() as [unknown, object | undefined];
  const inText = typeof text === 'string' ? [...text.matchAll(/\$\{(\w[\w:]*)/g)].map(([, id]) => id) : [];
  return new Set([
    ...[Ref, [attribute].flat()[0], ...inText.filter((id = '') => !(id in (own ?? {})))].filter(
      (id): id is string => typeof id === 'string',
    ),
    ...Object.values(value).flatMap((one) => [...referencesIn(one)]),
  ]);
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
      'throttleBurst=9',
      '--param',
      'host=a.example.com',
      '--param',
      `certificate=${certificate}`,
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

  it('has all resources that others refer to', () => {
    const { Resources } = compiled;
    const referred = [...referencesIn(Resources)].filter((id) => !id.startsWith('AWS::'));
    assert.ok(referred.length > functionNames.length);
    assert.deepEqual(
      referred.filter((id) => !(id in Resources)),
      [],
    );
  });

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
    assert.deepEqual(stage['DefaultRouteSettings'], {
      DetailedMetricsEnabled: false,
      ThrottlingRateLimit: 7,
      ThrottlingBurstLimit: 9,
    });
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
    assert.equal(configs.length, scheduledFunctionNames.length + invokedFunctionNames.length);
    for (const config of configs)
      assert.match(
        JSON.stringify(config),
        /"OnFailure":\{"Destination":\{"Fn::GetAtt":\["DeadLetters","Arn"\]/,
      );
  });

  it('runs jobs on schedules, of which those of garbage collection and of events are off', () => {
    const rules = ofType('AWS::Events::Rule').map(({ ScheduleExpression, State, Targets }) => [
      /(\w+)LambdaFunction/.exec(JSON.stringify(Targets))?.[1],
      ScheduleExpression,
      State,
    ]);
    assert.deepEqual(rules.sort(), [
      ['Events', 'rate(1 minute)', 'DISABLED'],
      ['Gc', 'rate(1 hour)', 'DISABLED'],
      ['PurgeDashuploads', 'rate(1 day)', 'ENABLED'],
      ['Reindex', 'rate(1 day)', 'ENABLED'],
    ]);
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
