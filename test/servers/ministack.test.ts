import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CreateAccessKeyCommand, CreateUserCommand, PutUserPolicyCommand } from '@aws-sdk/client-iam';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCopyCommand,
  type S3ServiceException,
} from '@aws-sdk/client-s3';
import type { BucketProxy } from './bucket-proxy.ts';
import { ministackS3 } from './ministack-s3.ts';
import { ministack, region, type Ministack } from './ministack.ts';
import { requires } from './requires.ts';

const Bucket = 'some-bucket';
const objects = `arn:aws:s3:::${Bucket}/*`;

describe('the emulator of AWS', requires('ministack'), () => {
  let emulator: Ministack;
  let proxy: BucketProxy;
  let reader: S3Client;
  let credentials: { accessKeyId: string; secretAccessKey: string };

  const clientAt = (endpoint: string) =>
    new S3Client({ endpoint, region, forcePathStyle: true, credentials, maxAttempts: 1 });

  const allow = async (...statements: [action: string, resource: string][]) => {
    const Statement = statements.map(([Action, Resource]) => ({ Effect: 'Allow', Action, Resource }));
    await emulator.aws.iam.send(
      new PutUserPolicyCommand({
        UserName: 'reader',
        PolicyName: 'rights',
        PolicyDocument: JSON.stringify({ Version: '2012-10-17', Statement }),
      }),
    );
  };

  before(async () => {
    emulator = await ministack();
    proxy = await ministackS3(emulator);
    const { iam, s3 } = emulator.aws;
    await s3.send(new CreateBucketCommand({ Bucket }));
    await s3.send(new PutObjectCommand({ Bucket, Key: 'there', Body: 'content' }));
    await iam.send(new CreateUserCommand({ UserName: 'reader' }));
    const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: 'reader' }));
    credentials = {
      accessKeyId: AccessKey?.AccessKeyId ?? '',
      secretAccessKey: AccessKey?.SecretAccessKey ?? '',
    };
    reader = clientAt(proxy.endpoint);
  });

  after(async () => {
    await proxy.stop();
    await emulator.stop();
  });

  it('enforces rights, from the moment they change', async () => {
    await allow(['s3:GetObject', objects]);
    await reader.send(new GetObjectCommand({ Bucket, Key: 'there' }));
    await assert.rejects(reader.send(new PutObjectCommand({ Bucket, Key: 'new', Body: 'content' })), denied);
    await allow(['s3:PutObject', objects]);
    await reader.send(new PutObjectCommand({ Bucket, Key: 'new', Body: 'content' }));
    await assert.rejects(reader.send(new GetObjectCommand({ Bucket, Key: 'there' })), denied);
  });

  it('denies a caller who may not list the bucket to read a missing key', async () => {
    const missing = { Bucket, Key: 'missing' };
    const copy = { Bucket, Key: 'new', UploadId: 'some', PartNumber: 1, CopySource: `${Bucket}/missing` };
    await allow(['s3:GetObject', objects], ['s3:PutObject', objects]);
    await assert.rejects(reader.send(new GetObjectCommand(missing)), denied);
    await assert.rejects(reader.send(new HeadObjectCommand(missing)), denied);
    await assert.rejects(reader.send(new UploadPartCopyCommand(copy)), denied);
    await reader.send(new HeadObjectCommand({ Bucket, Key: 'there' }));
    await allow(['s3:GetObject', objects], ['s3:ListBucket', `arn:aws:s3:::${Bucket}`]);
    await assert.rejects(reader.send(new GetObjectCommand(missing)), { name: 'NoSuchKey' });
    await assert.rejects(reader.send(new HeadObjectCommand(missing)), { name: 'NotFound' });
  });

  it('lets a bucket refuse what is not encrypted', async () => {
    const Deny = { Bool: { 'aws:SecureTransport': 'false' } };
    const statement = { Effect: 'Deny', Principal: '*', Action: 's3:*', Resource: objects, Condition: Deny };
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
    await emulator.aws.s3.send(new PutBucketPolicyCommand({ Bucket, Policy }));
    await allow(['s3:GetObject', objects]);
    await reader.send(new GetObjectCommand({ Bucket, Key: 'there' }));
    const plain = clientAt(emulator.url);
    await assert.rejects(plain.send(new GetObjectCommand({ Bucket, Key: 'there' })), denied);
  });
});

/** A HEAD's error has no code, only its status. */
function denied(error: S3ServiceException): boolean {
  return error.$metadata.httpStatusCode === 403;
}
