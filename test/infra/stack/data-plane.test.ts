import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { dataPlaneSettings } from '../../../infra/stack/data-plane/settings.ts';
import { cloudConfig } from '../../../infra/stack/data-plane/start-script.ts';
import { readParameters } from '../../../infra/stack/parameters.ts';
import { settingFaults } from '../../../infra/stack/settings-check.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
import type { Resource, Value } from '../../../infra/stack/template.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { command } from '../../servers/process.ts';
import { requires } from '../../servers/requires.ts';

const host = 'registry.example.com';
const image = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/stowage:1.0.0';
const certificate = 'arn:aws:acm:us-east-1:123456789012:certificate/0a1b';
const loadBalancerCertificate = certificate.replace('us-east-1', 'eu-central-1');

const overrides = {
  instance: { host, image, dataPlane: 'instance', hostedZone: 'Z1' },
  fargate: { host, image, dataPlane: 'fargate', certificate, loadBalancerCertificate, hostedZone: 'Z1' },
} as const;

const parametersOf = (kind: keyof typeof overrides, more: Readonly<Record<string, string>> = {}) =>
  readParameters({ stage: 'dev', region: 'eu-central-1', overrides: { ...overrides[kind], ...more } });

const resourcesOf = (...[kind, more]: Parameters<typeof parametersOf>) =>
  templateOf(parametersOf(kind, more)).Resources;

interface TargetTracking {
  readonly DisableScaleIn?: boolean;
  readonly TargetValue: number;
  readonly CustomizedMetricSpecification?: {
    readonly Metrics: readonly { readonly Expression?: string; readonly ReturnData: boolean }[];
  };
}

type Resources = Readonly<Record<string, Resource>>;

/** A value of CloudFormation's, below a resource. */
const at = (resources: Resources, ...path: (string | number)[]): unknown =>
  path.reduce<unknown>(
    (value, key) => (value as Record<string | number, unknown> | undefined)?.[key],
    resources,
  );

const ofType = (resources: Resources, type: string) =>
  Object.values(resources).filter(({ Type }) => Type === type);

/** What CloudFormation makes of a value, with a word for each that it fills in. */
function evaluated(value: Value): string {
  if (typeof value !== 'object') return String(value);
  if ('Fn::Base64' in value) return Buffer.from(evaluated(value['Fn::Base64'])).toString('base64');
  if ('Fn::Join' in value) return (value['Fn::Join'] as [string, Value[]])[1].map(evaluated).join('');
  return 'https://value';
}

/** The text of user data. */
const textOf = (value: unknown) => Buffer.from(evaluated(value as Value), 'base64').toString();

const scriptOf = (resources: Resources) => {
  const text = textOf(at(resources, 'DataPlaneInstance', 'Properties', 'UserData'));
  return text.slice(text.indexOf('#!/bin/bash'), text.lastIndexOf('\n--'));
};

/** A file that the script writes. */
function fileOf(script: string, path: string): string {
  const [, words] =
    new RegExp(`^write ${path}((?: '[A-Za-z0-9+/=]+')+)$`, 'm').exec(script) ?? assert.fail(path);
  return (
    words
      ?.split(' ')
      .map((word) => Buffer.from(word.slice(1, -1), 'base64').toString())
      .join('') ?? ''
  );
}

describe('the stack without a data plane', () => {
  it('has nothing that costs while nobody uses it, but alarms', () => {
    const { Resources } = templateOf(readParameters({ stage: 'dev', region: 'eu-central-1' }));
    assert.deepEqual(
      Object.values(Resources).filter(({ Type }) => /::(EC2|ECS|ElasticLoadBalancing|CloudFront)/.test(Type)),
      [],
    );
  });
});

for (const kind of ['instance', 'fargate'] as const)
  describe(`the stack with dataPlane=${kind}`, () => {
    const resources = resourcesOf(kind);

    it('opens no ports to the internet but those of HTTP and HTTPS', () => {
      const open = ofType(resources, 'AWS::EC2::SecurityGroup')
        .flatMap(({ Properties }) => Properties?.['SecurityGroupIngress'] as Record<string, unknown>[])
        .filter((rule) => 'CidrIp' in rule)
        .map(({ FromPort, ToPort }) => [FromPort, ToPort]);
      assert.deepEqual(
        open,
        kind === 'instance'
          ? [
              [80, 80],
              [443, 443],
            ]
          : [[443, 443]],
      );
    });

    it('has rights to keys of uploads, blobs and links, its secret and its image, and to all of nothing else', () => {
      const roles = Object.entries(resources).filter(([id]) => /^DataPlane.*Role$/.test(id));
      const statements = roles.flatMap(([, { Properties }]) =>
        (Properties?.['Policies'] as { PolicyDocument: { Statement: Record<string, Value>[] } }[]).flatMap(
          ({ PolicyDocument }) => PolicyDocument.Statement,
        ),
      );
      assert.ok(statements.length > 5);
      for (const { Action, Resource } of statements) {
        assert.doesNotMatch(JSON.stringify(Action), /\*/);
        if (Resource === '*') assert.deepEqual(Action, ['ecr:GetAuthorizationToken']);
      }
      const text = JSON.stringify(statements);
      assert.doesNotMatch(text, /_manifests|_referrers|policy\.yaml|stowage\/dev\/token/);
      assert.match(text, /secret:stowage\/dev\/http/);
      assert.match(text, /repository\/team\/stowage"/);
    });

    it('names its secrets, and has none', () => {
      const text = JSON.stringify(resources);
      assert.match(text, /stowage\/dev\/http/);
      assert.doesNotMatch(text, /REGISTRY_HTTP_SECRET|resolve:secretsmanager/);
    });

    it('starts anew when a secret changes', () => {
      const changed = resourcesOf(kind, { secretsRevision: '2' });
      const part = kind === 'instance' ? 'DataPlaneInstance' : 'DataPlaneTask';
      assert.notDeepEqual(changed[part], resources[part]);
      assert.deepEqual(resourcesOf(kind)[part], resources[part]);
    });

    it('says by mail when the data plane has failed', () => {
      const { DataPlaneFailedAlarm: alarm } = resourcesOf(kind, { alarmEmail: 'a@example.com' });
      const { MetricName, Dimensions, Threshold, ComparisonOperator, TreatMissingData, AlarmActions } =
        alarm?.Properties ?? {};
      assert.deepEqual(
        [MetricName, Threshold, ComparisonOperator, TreatMissingData],
        kind === 'instance'
          ? ['StatusCheckFailed', 1, 'GreaterThanOrEqualToThreshold', 'notBreaching']
          : ['HealthyHostCount', 1, 'LessThanThreshold', 'breaching'],
      );
      assert.deepEqual(AlarmActions, [{ Ref: 'AlarmTopic' }]);
      for (const { Value } of Dimensions as { Value: Record<string, string | string[]> }[]) {
        const [id = ''] = Object.values(Value).flat();
        assert.ok(id in resources, id);
      }
    });

    it('checks the bucket once a minute, which costs money, unless a setting says otherwise', () => {
      const name = 'REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL';
      const intervalOf = (more?: Readonly<Record<string, string>>) => {
        const { [name]: interval } = dataPlaneSettings(parametersOf(kind, more));
        return interval;
      };
      assert.equal(intervalOf(), '60s');
      assert.equal(intervalOf({ [name]: '5m' }), '5m');
    });

    it('gives the functions settings that they take', () => {
      assert.deepEqual(settingFaults(parametersOf(kind)), []);
    });

    it('gives the registry one host name', () => {
      const records = ofType(resources, 'AWS::Route53::RecordSet');
      assert.deepEqual(new Set(records.map(({ Properties }) => Properties?.['Name'])), new Set([host]));
      assert.equal(records.length, kind === 'instance' ? 1 : 2);
    });
  });

describe('the instance', () => {
  const resources = resourcesOf('instance');

  it('gives credentials to its own processes alone, and has an encrypted disk', () => {
    const { MetadataOptions, BlockDeviceMappings } = resources['DataPlaneInstance']?.Properties ?? {};
    assert.deepEqual(MetadataOptions, {
      HttpTokens: 'required',
      HttpEndpoint: 'enabled',
      HttpPutResponseHopLimit: 1,
    });
    assert.equal(at({ BlockDeviceMappings } as never, 'BlockDeviceMappings', 0, 'Ebs', 'Encrypted'), true);
  });

  it('gets its address when it is ready, for which each change waits again', () => {
    const [handle] = Object.keys(resources).filter((id) => /^DataPlaneReady[0-9a-f]{12}$/.test(id));
    const dependencies = resources['DataPlaneAddressAssociation']?.DependsOn;
    assert.deepEqual(dependencies, [`${handle ?? ''}Received`]);
    assert.equal(
      handle !== undefined && handle in resourcesOf('instance', { REGISTRY_LOG_LEVEL: 'warn' }),
      false,
    );
    assert.equal(handle !== undefined && handle in resourcesOf('instance', { throttleRate: '7' }), true);
  });

  it('buys no credits, which only burstable types have', () => {
    const credits = (type: string) =>
      at(
        resourcesOf('instance', { instanceType: type }),
        'DataPlaneInstance',
        'Properties',
        'CreditSpecification',
      );
    assert.deepEqual(credits('t4g.small'), { CPUCredits: 'standard' });
    assert.equal(credits('m7g.medium'), undefined);
  });

  it('has user data within the 16 KB of EC2', () => {
    const text = textOf(at(resources, 'DataPlaneInstance', 'Properties', 'UserData'));
    // Of the signal's URL, most of which is its signature.
    assert.ok(Buffer.byteLength(text) + 2048 < 16 * 1024, String(text.length));
    assert.equal(/\$\{(?:AWS|DataPlane|HttpApi)/.exec(text), null);
  });

  it('runs its script at each boot', () => {
    const text = textOf(at(resources, 'DataPlaneInstance', 'Properties', 'UserData'));
    assert.match(text, /^Content-Type: multipart\/mixed; boundary="([\w-]+)"\n[^]*\n--\1--\n$/);
    assert.ok(text.includes(cloudConfig));
    assert.match(cloudConfig, /^#cloud-config\ncloud_final_modules:\n {2}- \[scripts-user, always\]\n$/);
  });

  it('stops within the time that systemd and podman leave the data plane', () => {
    const unit = fileOf(scriptOf(resources), '/etc/containers/systemd/stowage.container');
    const settings = fileOf(scriptOf(resources), '/etc/stowage/data-plane.env');
    const [drain, stop, unitStop] = [
      /^REGISTRY_HTTP_DRAINTIMEOUT=(\d+)s$/m.exec(settings),
      /^StopTimeout=(\d+)$/m.exec(unit),
      /^TimeoutStopSec=(\d+)$/m.exec(unit),
    ].map((found) => Number(found?.[1]));
    assert.ok((drain ?? 0) + 10 <= (stop ?? 0) && (stop ?? 0) < (unitStop ?? 0));
  });
});

describe('what the instance writes', () => {
  const script = scriptOf(resourcesOf('instance'));

  it('has each setting as it is, whatever its value', async () => {
    const folder = await temporaryFolder('user-data');
    after(() => {
      folder.remove();
    });
    const values = {
      OTEL_A: 'END',
      OTEL_B: `'"$(touch ${folder.path}/run)\`touch ${folder.path}/run\`; #`,
      OTEL_C: '{{value 0}}{{value 1}}<api>${AWS::Region}\\${HOME}',
      OTEL_D: '{{resolve:ssm:/aws/service/debian/release/13/latest/arm64}} ü',
    };
    const hostile = scriptOf(resourcesOf('instance', values));
    const start = hostile.indexOf('# Writes a file');
    const part = hostile.slice(start, hostile.indexOf('\nsystemctl daemon-reload', start));
    await command('bash', ['-euo', 'pipefail', '-c', part.replaceAll('write /', `write ${folder.path}/`)]);
    assert.deepEqual((await readdir(folder.path)).sort(), ['etc']);
    const lines = (await readFile(join(folder.path, 'etc/stowage/data-plane.env'), 'utf8')).split('\n');
    for (const [name, value] of Object.entries(values))
      assert.ok(lines.includes(`${name}=${value}`), lines.join('\n'));
    const plain = fileOf(script, '/etc/stowage/data-plane.env').split('\n');
    assert.equal(lines.length, plain.length + Object.keys(values).length);
    assert.equal(
      await readFile(join(folder.path, 'etc/caddy/Caddyfile'), 'utf8'),
      fileOf(script, '/etc/caddy/Caddyfile'),
    );
    // Nor does CloudFormation look into them.
    const userData = JSON.stringify(
      at(resourcesOf('instance', values), 'DataPlaneInstance', 'Properties', 'UserData'),
    );
    assert.doesNotMatch(userData, /\{\{|AWS::Region\}\\\\/);
  });

  it('takes no setting of several lines, each of which would be another setting', () => {
    assert.throws(
      () => resourcesOf('instance', { OTEL_A: 'a\nREGISTRY_AUTH=none' }),
      /settings: OTEL_A has several lines/,
    );
  });

  it('is a script that bash takes', async () => {
    await command('bash', ['-n', '-c', script]);
  });

  it('is a configuration that Caddy takes, in its own format', requires('caddy'), async () => {
    const folder = await temporaryFolder('caddyfile');
    after(() => {
      folder.remove();
    });
    const file = join(folder.path, 'Caddyfile');
    const text = fileOf(script, '/etc/caddy/Caddyfile');
    await writeFile(file, text);
    const env = { PATH: process.env['PATH'], HOME: folder.path };
    await command('caddy', ['validate', '--adapter', 'caddyfile', '--config', file], { env });
    assert.equal((await command('caddy', ['fmt', file], { env })).bytes.toString(), text);
  });
});

describe('Fargate', () => {
  const resources = resourcesOf('fargate');

  it('lets a task that stops drain: Fargate waits 120 s at most, and the load balancer for longer', () => {
    const container = ['DataPlaneTask', 'Properties', 'ContainerDefinitions', 0];
    const stop = Number(at(resources, ...container, 'StopTimeout'));
    const environment = at(resources, ...container, 'Environment') as { Name: string; Value: string }[];
    const drain = environment.find(({ Name }) => Name === 'REGISTRY_HTTP_DRAINTIMEOUT')?.Value;
    assert.equal(stop, 120);
    assert.equal(drain, `${stop - 10}s`);
    const attributes = at(resources, 'DataPlaneTargets', 'Properties', 'TargetGroupAttributes') as {
      Key: string;
      Value: string;
    }[];
    const delay = attributes.find(({ Key }) => Key === 'deregistration_delay.timeout_seconds')?.Value;
    assert.ok(Number(delay) > Number.parseInt(drain, 10));
  });

  it('is probed for readiness, and a deployment that fails is rolled back', () => {
    assert.equal(at(resources, 'DataPlaneTargets', 'Properties', 'HealthCheckPath'), '/readyz');
    const deployment = at(resources, 'DataPlaneService', 'Properties', 'DeploymentConfiguration');
    assert.deepEqual((deployment as Record<string, unknown>)['DeploymentCircuitBreaker'], {
      Enable: true,
      Rollback: true,
    });
  });

  it('takes connections from the load balancer alone', () => {
    const rules = at(resources, 'DataPlaneTaskSecurity', 'Properties', 'SecurityGroupIngress');
    assert.deepEqual(rules, [
      {
        IpProtocol: 'tcp',
        FromPort: 5000,
        ToPort: 5000,
        SourceSecurityGroupId: { 'Fn::GetAtt': ['DataPlaneSecurity', 'GroupId'] },
      },
    ]);
  });

  it('adds tasks for requests and for bytes, and removes them when both are few or there are none', () => {
    const policies = Object.values(resources)
      .filter(({ Type }) => Type === 'AWS::ApplicationAutoScaling::ScalingPolicy')
      .map(
        ({ Properties }) =>
          Properties?.['TargetTrackingScalingPolicyConfiguration'] as unknown as TargetTracking,
      );
    const removing = policies.filter(({ DisableScaleIn }) => DisableScaleIn !== true);
    const adding = policies.filter((policy) => !removing.includes(policy));
    assert.match(JSON.stringify(adding), /ALBRequestCountPerTarget.*ProcessedBytes/);
    // Late values must not be zeros there.
    assert.doesNotMatch(JSON.stringify(adding), /FILL/);
    assert.equal(removing.length, 1);
    const [{ TargetValue, CustomizedMetricSpecification } = assert.fail()] = removing;
    const [{ Expression } = assert.fail()] =
      CustomizedMetricSpecification?.Metrics.filter(({ ReturnData }) => ReturnData) ?? [];
    // Functions of CloudWatch, for one value of each series.
    const load = (values: Readonly<Record<string, number | undefined>>) => {
      const names = ['FILL', 'MAX', 'requests', 'bytes', 'tasks'];
      const fill = (value: number | undefined, other: number) => value ?? other;
      const max = (all: readonly number[]) => Math.max(...all);
      // eslint-disable-next-line @typescript-eslint/no-implied-eval -- an expression of this project
      const run = new Function(...names, `return ${Expression ?? ''}`) as (...all: unknown[]) => number;
      return run(fill, max, values['requests'], values['bytes'], values['tasks']) / TargetValue;
    };
    assert.equal(load({ tasks: 4 }), 0);
    assert.equal(load({ requests: 1200, bytes: 1, tasks: 2 }), 1);
    assert.equal(load({ requests: 1, bytes: 3600e6, tasks: 2 }), 2);
  });
});

describe('CloudFront', () => {
  const config = ['Distribution', 'Properties', 'DistributionConfig'] as const;
  const resources = resourcesOf('fargate');

  it('sends uploads in progress to the data plane, and their start and all else to the functions', () => {
    const [behavior, ...others] = at(resources, ...config, 'CacheBehaviors') as Record<string, unknown>[];
    assert.deepEqual(others, []);
    assert.equal(behavior?.['TargetOriginId'], 'data-plane');
    assert.equal(at(resources, ...config, 'DefaultCacheBehavior', 'TargetOriginId'), 'functions');
    // `*` is any number of characters, slashes as well, and `?` is one.
    const pattern = String(behavior['PathPattern']).replaceAll('*', '.*').replaceAll('?', '.');
    const matches = (path: string) => new RegExp(`^${pattern}$`).test(path);
    assert.ok(matches('/v2/team/app/blobs/uploads/0a1b'));
    assert.ok(!matches('/v2/team/app/blobs/uploads/'));
    assert.ok(!matches('/v2/team/app/blobs/uploads'));
    assert.ok(!matches('/v2/team/app/manifests/1'));
    // A limit of such patterns, which docs/deploy/data-plane.md names.
    assert.ok(matches('/v2/a/blobs/uploads/b/manifests/1'));
  });

  it('caches nothing, not even errors', () => {
    const behaviors = [
      at(resources, ...config, 'DefaultCacheBehavior'),
      ...(at(resources, ...config, 'CacheBehaviors') as unknown[]),
    ] as Record<string, unknown>[];
    for (const { CachePolicyId } of behaviors)
      assert.equal(CachePolicyId, '4135ea2d-6df8-44a3-9df3-4b5a84be39ad');
    const errors = at(resources, ...config, 'CustomErrorResponses') as Record<string, number>[];
    assert.deepEqual(new Set(errors.map(({ ErrorCachingMinTTL }) => ErrorCachingMinTTL)), new Set([0]));
    assert.ok(errors.some(({ ErrorCode }) => ErrorCode === 404));
  });

  it('gives answers of functions to HEAD their length back', () => {
    assert.match(
      String(at(resources, 'ViewerResponse', 'Properties', 'FunctionCode')),
      /stowage-content-length/,
    );
    assert.deepEqual(at(resources, ...config, 'DefaultCacheBehavior', 'FunctionAssociations'), [
      { EventType: 'viewer-response', FunctionARN: { 'Fn::GetAtt': ['ViewerResponse', 'FunctionARN'] } },
    ]);
  });

  it('has functions with names of their own in each region, since they are those of an account', () => {
    const nameIn = (region: string) =>
      at(
        templateOf(
          readParameters({ stage: 'dev', region, overrides: { host, certificate, address: 'cloudfront' } }),
        ).Resources,
        'ViewerResponse',
        'Properties',
        'Name',
      );
    assert.notEqual(nameIn('eu-central-1'), nameIn('us-east-1'));
    // https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateFunction.html
    assert.match(String(nameIn('ap-southeast-1')), /^[a-zA-Z0-9-_]{1,64}$/);
  });

  it('may stand before functions alone', () => {
    const { Resources } = templateOf(
      readParameters({
        stage: 'dev',
        region: 'eu-central-1',
        overrides: { host, certificate, address: 'cloudfront' },
      }),
    );
    assert.deepEqual(at(Resources, ...config, 'CacheBehaviors'), []);
    assert.equal((at(Resources, ...config, 'Origins') as unknown[]).length, 1);
  });
});
