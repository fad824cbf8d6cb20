import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DescribeStacksCommand, GetTemplateCommand } from '@aws-sdk/client-cloudformation';
import { ListFunctionsCommand } from '@aws-sdk/client-lambda';
import { GetObjectCommand, ListBucketsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { GetSecretValueCommand, ListSecretsCommand } from '@aws-sdk/client-secrets-manager';
import { runStowage } from '../infra/run-node.ts';
import { keepSecrets } from '../logs/kept.ts';
import type { BucketProxy } from '../servers/bucket-proxy.ts';
import { startGateway, type Gateway } from '../servers/gateway.ts';
import { ministackS3 } from '../servers/ministack-s3.ts';
import { accountId, ministack, type Ministack } from '../servers/ministack.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
const bucket = `stowage-cmd-${accountId}`;

describe('stowage deploy and stowage remove', requires('ministack'), () => {
  let emulator: Ministack;
  let s3: BucketProxy;
  let gateway: Gateway;
  let password = '';
  /** What the gateway stands before; nothing until there is an API. */
  const api = { invokeUrl: 'http://127.0.0.1:9' };

  before(async () => {
    emulator = await ministack();
    s3 = await ministackS3(emulator);
    gateway = await startGateway(api);
  });

  after(async () => {
    await gateway.stop();
    await s3.stop();
    await emulator.stop();
  });

  const deploy = async (args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) => {
    const settings = {
      REGISTRY_STORAGE_S3_REGIONENDPOINT: s3.endpoint,
      REGISTRY_HTTP_HOST: gateway.url,
    };
    const given = Object.entries(settings).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
    const program = ['lib/commands/stowage.ts', 'deploy', '--stage', 'cmd', ...given, ...args];
    const options = { cwd: project, env: cleanEnvironment({ ...emulator.env, ...env }) };
    return (await command(process.execPath, program, options)).text;
  };

  /** Opens the gateway as soon as the stack has an API, while the smoke test waits for it. */
  const openGateway = async () => {
    for (;;) {
      const { Stacks = [] } = await emulator.aws.cloudFormation.send(new DescribeStacksCommand({}));
      const url = Stacks[0]?.Outputs?.find(({ OutputKey }) => OutputKey === 'ApiUrl')?.OutputValue;
      if (url !== undefined) {
        const [id = ''] = new URL(url).host.split('.');
        api.invokeUrl = `${emulator.url}/_aws/execute-api/${id}/$default`;
        return;
      }
      await delay(500);
    }
  };

  /** Names of all that a deployment makes first. */
  const whatExists = async () => {
    const { cloudFormation, s3: buckets, secrets, lambda } = emulator.aws;
    const { Stacks = [] } = await cloudFormation.send(new DescribeStacksCommand({}));
    const { Buckets = [] } = await buckets.send(new ListBucketsCommand({}));
    const { SecretList = [] } = await secrets.send(new ListSecretsCommand({}));
    const { Functions = [] } = await lambda.send(new ListFunctionsCommand({}));
    return [
      ...Stacks.map(({ StackName }) => StackName),
      ...Buckets.map(({ Name }) => Name),
      ...SecretList.map(({ Name }) => Name),
      ...Functions.map(({ FunctionName }) => FunctionName),
    ];
  };

  const secretVersions = async () => {
    const names = ['http', 'token', 'htpasswd'].map((kind) => `stowage/cmd/${kind}`);
    const values = names.map(
      async (SecretId) => await emulator.aws.secrets.send(new GetSecretValueCommand({ SecretId })),
    );
    return await Promise.all(values);
  };

  const template = async () =>
    await emulator.aws.cloudFormation.send(new GetTemplateCommand({ StackName: 'stowage-cmd' }));

  it('reports all that is wrong at once, and makes nothing', async () => {
    const args = [
      'deploy',
      '--stage',
      'cmd',
      '--data-plane',
      'instance',
      '--param',
      'throttleRate=x',
      '--yes',
    ];
    const { code, errors } = await runStowage(args, { ...emulator.env, AWS_ACCESS_KEY_ID: '' });
    assert.equal(code, 1);
    for (const fault of [/- host: missing/, /- throttleRate: /, /there are no credentials/])
      assert.match(errors, fault);
    const secrets = { REGISTRY_HTTP_SECRET: 'short' };
    const more = await runStowage(['deploy', '--stage', 'cmd', '--param', 'search=mysql'], {
      ...emulator.env,
      ...secrets,
    });
    assert.equal(more.code, 1);
    for (const fault of [/- REGISTRY_HTTP_SECRET: must have/, /- SEARCH_BACKEND_MYSQL: missing/])
      assert.match(more.errors, fault);
    assert.deepEqual(await whatExists(), []);
  });

  it('shows in a dry run what it would make, and makes nothing', async () => {
    const text = await deploy(['--dry-run']);
    assert.match(text, /\+ 16 AWS::Lambda::Function\n/);
    assert.match(text, /\+ secret stowage\/cmd\/htpasswd: a user admin/);
    assert.match(text, /Cost at rest: \$\d/);
    assert.doesNotMatch(text, /Password/);
    assert.deepEqual(await whatExists(), []);
  });

  it('prints a password once, which logs in and is stored nowhere', async () => {
    const [text] = await Promise.all([deploy([], { STOWAGE_SMOKE_URL: gateway.url }), openGateway()]);
    password = /^User +admin\nPassword +(\S+)$/m.exec(text)?.[1] ?? '';
    assert.ok(password.length >= 20, text);
    keepSecrets({ PASSWORDS: password });
    assert.match(text, /docker login [\w.-]+\.execute-api\.[\w.-]+ --username admin\n/);
    assert.match(text, /docker pushes layers up to 4 MiB/);
    // Of the smoke test.
    assert.match(text, /^\d+ checks passed(, \d+ skipped)?\.$/m);
    assert.equal((await login(`${password}x`)).status, 401);
    const granted = await login(password);
    assert.equal(granted.status, 200);
    const { token } = (await granted.json()) as { token: string };
    const started = await fetch(`${gateway.url}/v2/team/app/blobs/uploads/`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(started.status, 202, await started.text());
    const stored = (await secretVersions()).map(({ SecretString }) => SecretString);
    const signing = stored
      .slice(0, 2)
      .flatMap((values = '{}') => Object.values(JSON.parse(values) as Record<string, string>));
    assert.ok(signing.length >= 2 && signing.every((secret) => secret.length >= 32));
    const places = [
      text,
      (await template()).TemplateBody,
      JSON.stringify(await functions()),
      ...(await objects()),
    ];
    for (const place of places)
      for (const secret of signing) assert.ok(place !== undefined && !place.includes(secret));
    for (const place of [...stored, ...places.slice(1)])
      assert.ok(place !== undefined && !place.includes(password));
  });

  const login = async (secret: string) => {
    const service = new URL(gateway.url).host;
    const query = new URLSearchParams({ service, scope: 'repository:team/app:pull,push' });
    return await fetch(`${gateway.url}/token?${query.toString()}`, {
      headers: { authorization: `Basic ${Buffer.from(`admin:${secret}`).toString('base64')}` },
    });
  };

  const functions = async () => (await emulator.aws.lambda.send(new ListFunctionsCommand({}))).Functions;

  const objects = async () => {
    const { Contents = [] } = await emulator.aws.s3.send(new ListObjectsV2Command({ Bucket: bucket }));
    const texts = Contents.map(async ({ Key }) => {
      const { Body } = await emulator.aws.s3.send(new GetObjectCommand({ Bucket: bucket, Key }));
      return await Body?.transformToString();
    });
    return await Promise.all(texts);
  };

  it('changes nothing the second time, and shows no password', async () => {
    const state = async () => ({
      functions: (await functions())?.map(({ FunctionName, LastModified }) => [FunctionName, LastModified]),
      secrets: (await secretVersions()).map(({ VersionId }) => VersionId),
      template: (await template()).TemplateBody,
    });
    const first = await state();
    const text = await deploy();
    assert.match(text, /^Nothing changes\.$/m);
    assert.doesNotMatch(text, /Password/);
    assert.deepEqual(await state(), first);
  });

  it('refuses another bucket, also with --yes', async () => {
    await assert.rejects(deploy(['--yes', '--param', 'bucket=another-bucket']), /would lose its images/);
    assert.ok(!(await whatExists()).includes('another-bucket'));
    await assert.rejects(
      deploy(['--yes', '--param', 'rootDirectory=team/x']),
      /would lose its images.*\n.*would look for them in stowage-cmd-\d+\/team\/x \(s3\)/,
    );
  });

  it('is removed only with --yes where nobody can be asked, and leaves the images', async () => {
    const remove = async (...args: string[]) =>
      await runStowage(['remove', '--stage', 'cmd', ...args], emulator.env);
    const refused = await remove();
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /add --yes/);
    const before = await objects();
    assert.ok(before.length > 0);
    const { code, output, errors } = await remove('--yes');
    assert.equal(code, 0, errors);
    assert.match(output, new RegExp(`The images are in the bucket ${bucket}`));
    assert.deepEqual((await objects()).length, before.length);
    const left = await whatExists();
    assert.deepEqual(
      left.filter((name) => name?.startsWith('stowage-')),
      [bucket],
    );
  });
});
