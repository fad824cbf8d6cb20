import { regionHost } from '../../lib/storage/scs/client/regions.ts';
import type { Parameters } from './parameters.ts';
import { ref, sub, type Template, type Value } from './template.ts';

/** The name of the bucket that a stage has unless another one is named. @param account its id */
export function defaultBucket(stage: string, account: string): string {
  return `stowage-${stage}-${account}`;
}

/** The name of the S3 bucket: an existing one, or one that the stack makes; undefined with another store. */
export function bucketName({
  stage,
  storage,
  bucket,
  existingBucket,
}: Pick<Parameters, 'stage' | 'storage' | 'bucket' | 'existingBucket'>): Value | undefined {
  if (storage !== 's3') return undefined;
  return existingBucket ?? bucket ?? sub(defaultBucket(stage, '${AWS::AccountId}'));
}

/** The ARN of the bucket, or of keys in it. @param keys such as `docker/*` */
export function bucketArn(parameters: Parameters, keys?: string): Value {
  const name = bucketName(parameters) ?? '';
  const path = keys === undefined ? '' : `/${keys}`;
  return { 'Fn::Join': ['', ['arn:', ref('AWS::Partition'), ':s3:::', name, path]] };
}

/** Which service has the bucket: `s3`, or `scs at <host>`. */
export function storeOf({ storage, scsRegion = '', scsEndpoint }: Parameters): string {
  if (storage === 's3') return 's3';
  const host = scsEndpoint === undefined ? regionHost(scsRegion) : new URL(scsEndpoint).host;
  return `scs at ${host ?? scsRegion}`;
}

/** The folder of all keys, such as `/team/images`; `/` for the whole bucket, since no output may be empty. */
export function folderOf({ rootDirectory }: Parameters): string {
  return `/${rootDirectory}`;
}

/** The bucket, if it is to be made. It outlives the stack. */
export function bucket(parameters: Parameters): Template {
  const name = bucketName(parameters);
  // The next deployment compares these, since other ones would be a registry without images.
  const outputs = {
    Store: { Description: 'The service that has the bucket', Value: storeOf(parameters) },
    Bucket: { Description: 'The bucket with the images', Value: name ?? parameters.scsBucket ?? '' },
    RootDirectory: { Description: 'The folder of the images in the bucket', Value: folderOf(parameters) },
  };
  if (name === undefined || parameters.existingBucket !== undefined)
    return { Resources: {}, Outputs: outputs };
  return {
    Resources: {
      Bucket: {
        Type: 'AWS::S3::Bucket',
        DeletionPolicy: 'Retain',
        UpdateReplacePolicy: 'Retain',
        // Versions are off: without VersioningConfiguration a bucket has none.
        Properties: {
          BucketName: name,
          PublicAccessBlockConfiguration: {
            BlockPublicAcls: true,
            BlockPublicPolicy: true,
            IgnorePublicAcls: true,
            RestrictPublicBuckets: true,
          },
          OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
          BucketEncryption: {
            ServerSideEncryptionConfiguration: [
              { ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } },
            ],
          },
          LifecycleConfiguration: {
            Rules: [
              {
                Id: 'unfinished-multipart-uploads',
                Status: 'Enabled',
                // The purge removes those of the registry after a day; this one those that it cannot see.
                AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
              },
            ],
          },
        },
      },
      BucketPolicy: {
        Type: 'AWS::S3::BucketPolicy',
        DeletionPolicy: 'Retain',
        UpdateReplacePolicy: 'Retain',
        Properties: {
          Bucket: ref('Bucket'),
          PolicyDocument: {
            Version: '2012-10-17',
            Statement: [
              {
                Sid: 'OnlyTls',
                Effect: 'Deny',
                Principal: '*',
                Action: 's3:*',
                Resource: [bucketArn(parameters), bucketArn(parameters, '*')],
                Condition: { Bool: { 'aws:SecureTransport': 'false' } },
              },
            ],
          },
        },
      },
    },
    Outputs: outputs,
  };
}
