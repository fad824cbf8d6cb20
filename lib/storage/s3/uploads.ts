import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { dirname } from 'node:path/posix';
import { stalledListing } from '../listing-page.ts';
import type { S3Bucket } from './bucket.ts';
import { failureOf } from './errors.ts';
import { decode } from './listing.ts';
import { abortMultipart, createMultipart } from './multipart.ts';
import type { MultipartUpload } from '../store.ts';

/** Why not all uploads are listed. */
export const unlistedUploads =
  'the server lists multipart uploads of whole keys only, as MinIO does, and of the others those begun since it ' +
  'started; MinIO itself removes what is older than its stale_uploads_expiry (24h)';

/**
 * Multipart uploads in progress. See `MultipartWriter.listMultiparts`. A server that takes the prefix for a whole key is asked
 * for all uploads of the bucket.
 */
export async function* listMultiparts(bucket: S3Bucket, prefix: string): AsyncIterable<MultipartUpload> {
  const full = bucket.prefix(prefix);
  let isByPrefix = false;
  for await (const upload of uploads(bucket, full)) {
    isByPrefix ||= upload.key !== full;
    yield own(bucket, upload);
  }
  if (isByPrefix || (await listsUploadsByPrefix(bucket))) return;
  for await (const upload of uploads(bucket, ''))
    if (upload.key.startsWith(full) && upload.key !== full) yield own(bucket, upload);
}

function own(bucket: S3Bucket, upload: MultipartUpload): MultipartUpload {
  return { ...upload, key: bucket.ownKey(upload.key) };
}

async function listsUploadsByPrefix(bucket: S3Bucket): Promise<boolean> {
  bucket.listsUploadsByPrefix ??= bucket.isAws || (await tryListing(bucket));
  return bucket.listsUploadsByPrefix;
}

/** Begins an upload, and looks for it by a part of its key. Nobody else sees it, and should it stay, a sweep finds it. */
async function tryListing(bucket: S3Bucket): Promise<boolean> {
  const key = bucket.probeKey('multipart');
  const uploadId = await createMultipart(bucket, key);
  try {
    const { found } = await uploadsAfter(bucket, bucket.prefix(`${dirname(key)}/`), undefined);
    return found.length > 0;
  } finally {
    await abortMultipart(bucket, key, uploadId);
  }
}

/** By the keys of the bucket. */
async function* uploads(bucket: S3Bucket, prefix: string): AsyncGenerator<MultipartUpload, void> {
  for (let from: MultipartUpload | undefined; ;) {
    const { found, isTruncated }: UploadPage = await uploadsAfter(bucket, prefix, from);
    yield* found;
    if (!isTruncated) return;
    const last = found.at(-1);
    if (last === undefined || (last.key === from?.key && last.uploadId === from.uploadId))
      throw stalledListing(prefix, bucket.name);
    from = last;
  }
}

interface UploadPage {
  readonly found: readonly MultipartUpload[];
  readonly isTruncated: boolean;
}

/** @param from the last one listed: Swift does not encode what it names as the next marker */
async function uploadsAfter(
  bucket: S3Bucket,
  prefix: string,
  from: MultipartUpload | undefined,
): Promise<UploadPage> {
  const input = {
    Bucket: bucket.name,
    ...(prefix !== '' && { Prefix: prefix }),
    EncodingType: 'url' as const,
    ...(from && { KeyMarker: from.key }),
  };
  const markers = from && { UploadIdMarker: from.uploadId };
  const page = await bucket.send(prefix, async (options) => {
    const ask = async (more = {}) =>
      await bucket.client.send(new ListMultipartUploadsCommand({ ...input, ...more }), options);
    return await ask(markers).catch(async (error: unknown) => {
      // Versity's gateway looks for the upload only after the key, and does not find it.
      if (markers === undefined || failureOf(error).code !== 'InvalidArgument') throw error;
      return await ask();
    });
  });
  return {
    found: (page.Uploads ?? []).flatMap(({ Key, UploadId, Initiated = new Date(0) }) =>
      UploadId === undefined ? [] : [{ key: decode(page, Key), uploadId: UploadId, started: Initiated }],
    ),
    isTruncated: page.IsTruncated === true,
  };
}
