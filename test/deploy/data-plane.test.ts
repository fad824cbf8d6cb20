import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  CreateStackCommand,
  DescribeStackResourceCommand,
  waitUntilStackCreateComplete,
} from '@aws-sdk/client-cloudformation';
import { GetRoleCommand } from '@aws-sdk/client-iam';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import {
  CreateSecretCommand,
  GetSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { dataPlaneSettings } from '../../infra/stack/data-plane/settings.ts';
import { policyKey } from '../../infra/stack/environment.ts';
import { readParameters } from '../../infra/stack/parameters.ts';
import { templateOf } from '../../infra/stack/stack.ts';
import { digestOf } from '../clients/images.ts';
import { Client, withDigest } from '../functions/client.ts';
import { runToEnd } from '../infra/run-node.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { accountId, ministack, region, type Ministack } from '../servers/ministack.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { functions, serve, thisVersion, type Stowage } from '../servers/stowage.ts';

const parameters = readParameters({
  stage: 'dev',
  region,
  overrides: {
    dataPlane: 'fargate',
    host: 'registry.example.com',
    image: 'ghcr.io/team/stowage:1.0.0',
    certificate: `arn:aws:acm:${region}:${accountId}:certificate/0a1b`,
  },
});

const bucket = `stowage-dev-${accountId}`;
const secret = randomBytes(32).toString('hex');
const MiB = 1024 ** 2;

describe('the data plane with the rights of its role, on an emulator of AWS', requires('ministack'), () => {
  let emulator: Ministack;
  let buckets: BucketProxy;
  let dataPlane: Stowage;
  let gateway: Stowage;
  let client: Client;
  let credentials: { accessKeyId: string; secretAccessKey: string; sessionToken: string };

  before(async () => {
    emulator = await ministack();
    // The bucket refuses what is not TLS's, and the emulator believes this header.
    buckets = await bucketProxy(emulator.url, { 'x-forwarded-proto': 'https' });
    for (const [kind, name] of [
      ['http', 'REGISTRY_HTTP_SECRET'],
      ['token', 'REGISTRY_AUTH_POLICY_SECRET'],
    ] as const) {
      const SecretString = JSON.stringify({ [name]: secret });
      await emulator.aws.secrets.send(new CreateSecretCommand({ Name: `stowage/dev/${kind}`, SecretString }));
    }
    await deploy();
    credentials = await assume('DataPlaneRole');
    const address = `127.0.0.1:${await freePort()}`;
    const common = { ...settings(), REGISTRY_SECRETS: '', REGISTRY_HTTP_HOST: '' };
    gateway = await functions(
      { ...common, ...emulator.env, AWS_SESSION_TOKEN: '' },
      {
        REGISTRY_AUTH: 'none',
        REGISTRY_HTTP_SECRET: secret,
        REGISTRY_HTTP_DATAPLANE: `http://${address}`,
      },
    );
    const version = { ...thisVersion(), server: [...thisVersion().server, 'data-plane'] as const };
    const ready = async () => (await fetch(`http://${address}/readyz`)).ok;
    const ofServer = { REGISTRY_HTTP_ADDR: address, REGISTRY_HTTP_HOST: `http://${gateway.address}` };
    dataPlane = await serve(settings(), ofServer, version, ready);
    client = new Client(`http://${gateway.address}`);
  });

  after(async () => {
    await (gateway as Stowage | undefined)?.stop();
    await (dataPlane as Stowage | undefined)?.stop();
    await buckets.stop();
    await emulator.stop();
  });

  /** Creates all of the stack that the emulator knows: no scaling. osls makes the gateway. */
  async function deploy(): Promise<void> {
    const { cloudFormation } = emulator.aws;
    const known = Object.entries(templateOf(parameters).Resources).filter(
      ([, { Type }]) => !Type.startsWith('AWS::ApplicationAutoScaling::'),
    );
    const HttpApi = {
      Type: 'AWS::ApiGatewayV2::Api',
      Properties: { Name: 'stowage-dev', ProtocolType: 'HTTP' },
    };
    const StackName = 'stowage-dev';
    await cloudFormation.send(
      new CreateStackCommand({
        StackName,
        TemplateBody: JSON.stringify({ Resources: { ...Object.fromEntries(known), HttpApi } }),
        Capabilities: ['CAPABILITY_IAM', 'CAPABILITY_NAMED_IAM'],
      }),
    );
    const every = { maxWaitTime: 120, minDelay: 1, maxDelay: 1 };
    await waitUntilStackCreateComplete({ client: cloudFormation, ...every }, { StackName });
  }

  /** @returns credentials of a role of the stack */
  async function assume(id: string) {
    const { StackResourceDetail } = await emulator.aws.cloudFormation.send(
      new DescribeStackResourceCommand({ StackName: 'stowage-dev', LogicalResourceId: id }),
    );
    const RoleName = StackResourceDetail?.PhysicalResourceId;
    const { Role } = await emulator.aws.iam.send(new GetRoleCommand({ RoleName }));
    const root = { accessKeyId: 'test', secretAccessKey: 'test' };
    const sts = new STSClient({ endpoint: emulator.url, region, credentials: root });
    const assumed = await sts.send(new AssumeRoleCommand({ RoleArn: Role?.Arn, RoleSessionName: 'test' }));
    const { AccessKeyId = '', SecretAccessKey = '', SessionToken = '' } = assumed.Credentials ?? {};
    return { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
  }

  /** What the template gives the data plane, and where the emulator is. */
  function settings() {
    const given = dataPlaneSettings(parameters);
    return {
      ...Object.fromEntries(
        Object.entries(given).map(([name, value]) => [name, typeof value === 'string' ? value : bucket]),
      ),
      REGISTRY_STORAGE_S3_REGIONENDPOINT: buckets.endpoint,
      AWS_ENDPOINT_URL: emulator.url,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_SESSION_TOKEN: credentials.sessionToken,
    };
  }

  it('takes a large layer in one request, and one in parts', async () => {
    const whole = randomBytes(20 * MiB);
    const put = withDigest(await client.startUpload('team/app'), digestOf(whole));
    await client.must(201, { method: 'PUT', path: put, body: whole });
    const parts = randomBytes(20 * MiB);
    const started = await client.startUpload('team/app');
    const patch = await client.must(202, { method: 'PATCH', path: started, body: parts });
    await client.must(201, {
      method: 'PUT',
      path: withDigest(patch.headers.location ?? '', digestOf(parts)),
    });
    for (const bytes of [whole, parts]) {
      const path = `/v2/team/app/blobs/${digestOf(bytes)}`;
      const { headers } = await client.must(200, { method: 'HEAD', path });
      assert.equal(headers['content-length'], String(bytes.length));
    }
    const [, host] = /^https?:\/\/([^/]+)/.exec(started) ?? [];
    assert.equal(host, dataPlane.address);
  });

  it('can cancel an upload, and tells its status', async () => {
    const started = await client.startUpload('team/app');
    const patch = await client.must(202, { method: 'PATCH', path: started, body: randomBytes(6 * MiB) });
    const location = patch.headers.location ?? '';
    await client.must(204, { method: 'GET', path: location });
    await client.must(204, { method: 'DELETE', path: location });
    await client.must(404, { method: 'GET', path: location });
  });

  it('may neither write the policy nor read what is not of blobs, nor another secret', async () => {
    const s3 = new S3Client({ endpoint: buckets.endpoint, region, credentials, forcePathStyle: true });
    const manifest = 'docker/registry/v2/repositories/team/app/_manifests/tags/1/current/link';
    const secrets = new SecretsManagerClient({ endpoint: emulator.url, region, credentials });
    const http = await secrets.send(new GetSecretValueCommand({ SecretId: 'stowage/dev/http' }));
    assert.match(http.SecretString ?? '', /REGISTRY_HTTP_SECRET/);
    const denied = { name: /^AccessDenied/ };
    await assert.rejects(
      s3.send(new PutObjectCommand({ Bucket: bucket, Key: policyKey, Body: 'a' })),
      denied,
    );
    await assert.rejects(s3.send(new PutObjectCommand({ Bucket: bucket, Key: manifest, Body: 'a' })), denied);
    await assert.rejects(s3.send(new GetObjectCommand({ Bucket: bucket, Key: manifest })), denied);
    await assert.rejects(secrets.send(new GetSecretValueCommand({ SecretId: 'stowage/dev/token' })), denied);
  });

  it('ends with a message that names each secret it cannot read', async () => {
    const env = { ...settings(), REGISTRY_SECRETS: 'stowage/dev/token,stowage/dev/none' };
    const { code, output } = await runToEnd(['serve', 'data-plane'], env);
    assert.equal(code, 1);
    assert.match(
      output,
      /REGISTRY_SECRETS: the secret stowage\/dev\/token .*needs secretsmanager:GetSecretValue/,
    );
    assert.match(output, /REGISTRY_SECRETS: the secret stowage\/dev\/none /);
    assert.doesNotMatch(output, new RegExp(secret));
  });
});
