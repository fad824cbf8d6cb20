import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { assertOrder } from '../part-order.ts';
import { copyTimeoutMs, type S3Bucket } from './bucket.ts';
import { failureOf } from './errors.ts';
import { unquote } from './listing.ts';
import { MultipartNotFound, type ObjectInfo, type PutOptions, type UploadedPart } from '../store.ts';

export async function createMultipart(
  bucket: S3Bucket,
  key: string,
  { metadata = {} }: Pick<PutOptions, 'metadata'> = {},
): Promise<string> {
  const input = {
    Bucket: bucket.name,
    Key: bucket.fullKey(key),
    Metadata: { ...metadata },
    ...bucket.writeInput,
  };
  const { UploadId } = await bucket.send(
    key,
    async (options) => await bucket.client.send(new CreateMultipartUploadCommand(input), options),
  );
  return UploadId ?? '';
}

export async function uploadPart(
  bucket: S3Bucket,
  key: string,
  uploadId: string,
  number: number,
  bytes: Uint8Array,
): Promise<UploadedPart> {
  const input = { ...upload(bucket, key, uploadId), PartNumber: number, Body: bytes };
  const { ETag } = await bucket.send(
    key,
    async (options) => {
      return await bucket.client.send(new UploadPartCommand(input), options).catch(orNoSuchUpload(key));
    },
    partWithin(bytes.byteLength),
  );
  return { number, etag: unquote(ETag), size: bytes.byteLength };
}

/** Milliseconds for a part to be sent and answered, at 256 KiB a second and more. */
function partWithin(size: number): number {
  return 20_000 + size / 256;
}

export async function completeMultipart(
  bucket: S3Bucket,
  key: string,
  uploadId: string,
  parts: readonly UploadedPart[],
): Promise<ObjectInfo> {
  assertOrder(key, parts);
  const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: `"${etag}"` }));
  const input = { ...upload(bucket, key, uploadId), MultipartUpload: { Parts } };
  const { ETag } = await bucket.send(
    key,
    async (options) =>
      await bucket.client.send(new CompleteMultipartUploadCommand(input), options).catch(orNoSuchUpload(key)),
    copyTimeoutMs,
  );
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  return { key, size, lastModified: new Date(), etag: unquote(ETag) };
}

export async function abortMultipart(bucket: S3Bucket, key: string, uploadId: string): Promise<void> {
  try {
    await bucket.send(key, async (options) => {
      const command = new AbortMultipartUploadCommand(upload(bucket, key, uploadId));
      return await bucket.client.send(command, options).catch(orNoSuchUpload(key));
    });
  } catch (error) {
    if (!(error instanceof MultipartNotFound)) throw error;
  }
}

function upload(bucket: S3Bucket, key: string, uploadId: string) {
  return { Bucket: bucket.name, Key: bucket.fullKey(key), UploadId: uploadId };
}

/** What servers answer, beside 404, to an id that is none in form. */
const noUploadId = ['InvalidArgument', 'XMinioInvalidResourceName'];

function orNoSuchUpload(key: string): (error: unknown) => never {
  return (error) => {
    const { code, status } = failureOf(error);
    if (noUploadId.includes(code) || (status === 404 && code !== 'NoSuchBucket'))
      throw new MultipartNotFound(key);
    throw error;
  };
}
