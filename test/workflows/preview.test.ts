import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { atExit } from '../servers/cleanup.ts';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListBucketsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { accountId } from '../servers/ministack.ts';
import { requires } from '../servers/requires.ts';
import { htpasswdOf } from '../access/policy-registry.ts';
import { emulatedAccount, type EmulatedAccount } from './emulated-account.ts';
import { runJob } from './run-job.ts';

const subject = 'repo:team/stowage:environment:preview';

/** No pull request of this project has this number. */
const number = '4294967295';

const stages = join(import.meta.dirname, '../../stages');
const parameters = join(stages, `pr-${number}.yml`);

/** The commands of the workflow, with the role of CI, whose rights the emulator enforces. */
describe('the preview of a pull request', requires('ministack'), () => {
  let account: EmulatedAccount;
  let forget: () => void;

  before(async () => {
    // As for production: what deletes the images of a preview is not run here.
    const role = { Environment: 'preview', Subject: subject, Stage: 'pr-*', DeleteImages: 'false' };
    account = await emulatedAccount(role);
    forget = atExit(() => {
      rmSync(parameters, { force: true });
    });
    mkdirSync(stages, { recursive: true });
    const settings = { REGISTRY_STORAGE_S3_REGIONENDPOINT: account.url };
    // There is the emulator's S3.
    writeFileSync(parameters, JSON.stringify({ settings }));
  });

  after(async () => {
    rmSync(parameters, { force: true });
    forget();
    await account.stop();
  });

  const run = async (job: 'deploy' | 'remove') =>
    await runJob('preview', job, {
      context: {
        'github.event.number': number,
        'vars.AWS_BOUNDARY': account.boundary,
        'secrets.REGISTRY_AUTH_HTPASSWD_CONTENT': await htpasswdOf(['admin']),
      },
      env: await account.credentialsOf(subject),
      // What is installed is there; the host of the gateway and the AWS CLI are not.
      without: ['Install', 'Push and pull as a user', 'Delete the images'],
    });

  it('is deployed by the role of CI', async () => {
    const results = await run('deploy');
    const all = results.map(({ output }) => output).join('');
    assert.deepEqual(
      results.map(({ name, code }) => ({ name, code })),
      [
        { name: 'Check that there are users', code: 0 },
        { name: 'Deploy', code: 0 },
      ],
      all,
    );
    assert.match(
      results.at(-1)?.outputs['url'] ?? '',
      /^https:\/\/\w+\.execute-api\.[\w-]+\.amazonaws\.com$/,
    );
    assert.doesNotMatch(all, /Password/);
  });

  it('keeps its images from the role of CI, whatever the policy of the bucket says', async () => {
    const { Buckets = [] } = await account.s3.send(new ListBucketsCommand({}));
    const bucket = Buckets.find(({ Name = '' }) => Name.startsWith(`stowage-pr-${number}-0`))?.Name ?? '';
    const image = { Bucket: bucket, Key: 'docker/registry/v2/blobs/sha256/aa/a/data' };
    const other = { Bucket: bucket, Key: 'stowage/other' };
    for (const object of [image, other])
      await account.s3.send(new PutObjectCommand({ ...object, Body: 'x' }));
    const env = await account.credentialsOf(subject);
    const role = new S3Client({
      endpoint: account.url,
      region: env['AWS_REGION'] ?? '',
      forcePathStyle: true,
      credentials: {
        accessKeyId: env['AWS_ACCESS_KEY_ID'] ?? '',
        secretAccessKey: env['AWS_SECRET_ACCESS_KEY'] ?? '',
        sessionToken: env['AWS_SESSION_TOKEN'] ?? '',
      },
    });
    const roleArn = `arn:aws:iam::${accountId}:role/stowage-ci-preview`;
    const statement = {
      Effect: 'Allow',
      Principal: { AWS: roleArn },
      Action: 's3:*',
      Resource: `arn:aws:s3:::${bucket}/*`,
    };
    const policy = { Version: '2012-10-17', Statement: [statement] };
    await role.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy: JSON.stringify(policy) }));
    // It gets what the role is not denied.
    await role.send(new GetObjectCommand(other));
    await assert.rejects(role.send(new GetObjectCommand(image)), { name: 'AccessDenied' });
    for (const object of [image, other])
      await assert.rejects(role.send(new DeleteObjectCommand(object)), { name: 'AccessDenied' });
  });

  it('is removed by the role of CI', async () => {
    const [removed] = await run('remove');
    assert.equal(removed?.code, 0, removed?.output);
  });

  it('is no other environment: its token gets no role', async () => {
    await assert.rejects(account.credentialsOf('repo:team/stowage:environment:production'), {
      name: /AccessDenied/,
    });
    await assert.rejects(account.credentialsOf('repo:fork/stowage:environment:preview'), {
      name: /AccessDenied/,
    });
  });
});
