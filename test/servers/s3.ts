import { randomBytes } from 'node:crypto';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';

/** A server that speaks S3, for buckets of a test's own. */
export interface S3Server {
  /** Base URL. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  createBucket(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Of each of them. */
export const REGION = 'us-east-1';

/** Nothing that a log may have by chance. */
export function secretKey(): string {
  return `testing-${randomBytes(8).toString('hex')}`;
}

/**
 * A server that has started.
 * @param stop ends it and removes what it stored
 */
export function s3Server(
  address: Pick<S3Server, 'endpoint' | 'accessKey' | 'secretKey'>,
  stop: () => Promise<void>,
): S3Server {
  const { endpoint, accessKey, secretKey } = address;
  const client = new S3Client({
    endpoint,
    region: REGION,
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
  return {
    ...address,
    region: REGION,
    createBucket: async (name) => {
      await client.send(new CreateBucketCommand({ Bucket: name }));
    },
    stop: async () => {
      client.destroy();
      await stop();
    },
  };
}

/** What a registry reads to keep its images in a bucket of a server. */
export function s3Settings(
  server: Omit<S3Server, 'createBucket' | 'stop'>,
  bucket: string,
): Record<string, string> {
  return {
    REGISTRY_STORAGE_S3_REGIONENDPOINT: server.endpoint,
    REGISTRY_STORAGE_S3_REGION: server.region,
    REGISTRY_STORAGE_S3_ACCESSKEY: server.accessKey,
    REGISTRY_STORAGE_S3_SECRETKEY: server.secretKey,
    REGISTRY_STORAGE_S3_BUCKET: bucket,
  };
}
