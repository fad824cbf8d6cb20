import {
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type ListMultipartUploadsCommandOutput,
} from '@aws-sdk/client-s3';
import { listingPage, skipListed, standstill } from './listing-page.ts';
import type { S3Bucket } from './s3-bucket.ts';
import type { Listing, ListOptions, MultipartUpload, ObjectInfo } from './store.ts';
import { StoreUnavailable } from './store.ts';

/** One page of a bucket's keys. See `ObjectLister.list`. */
export async function listObjects(
  bucket: S3Bucket,
  { prefix = '', delimiter, startAfter = '', limit = 1000 }: ListOptions,
): Promise<Listing> {
  const input = {
    Bucket: bucket.name,
    Prefix: bucket.prefix(prefix),
    ...(delimiter !== undefined && { Delimiter: delimiter }),
    ...(startAfter !== '' && { StartAfter: bucket.prefix(skipListed(prefix, delimiter, startAfter)) }),
    MaxKeys: Math.min(limit, 1000),
    // Keys may have characters that XML cannot.
    EncodingType: 'url' as const,
  };
  const page = await bucket.send(
    prefix,
    async (options) => await bucket.client.send(new ListObjectsV2Command(input), options),
  );
  if (page.IsTruncated === undefined) throw notAsS3(prefix, bucket);
  const keyOf = (text: string | undefined) => bucket.ownKey(decode(text));
  const objects = (page.Contents ?? []).map((entry): ObjectInfo => ({
    key: keyOf(entry.Key),
    size: entry.Size ?? 0,
    lastModified: entry.LastModified ?? new Date(0),
    etag: unquote(entry.ETag),
  }));
  const prefixes = (page.CommonPrefixes ?? []).map((entry) => keyOf(entry.Prefix));
  return listingPage(
    { objects, prefixes, isTruncated: page.IsTruncated },
    { bucket: bucket.name, prefix, startAfter },
  );
}

/** What answers like a web site, with 200 to all it is asked, holds no images. */
export function notAsS3(key: string, { options }: S3Bucket): StoreUnavailable {
  const place = options.endpoint ?? options.region;
  return new StoreUnavailable(
    key,
    `${place} answered 200, which is not how S3 answers; check REGISTRY_STORAGE_S3_REGIONENDPOINT`,
  );
}

/** Multipart uploads in progress. See `MultipartWriter.listMultiparts`. */
export async function* listMultiparts(bucket: S3Bucket, prefix: string): AsyncIterable<MultipartUpload> {
  let from: Pick<ListMultipartUploadsCommandOutput, 'NextKeyMarker' | 'NextUploadIdMarker'> | undefined = {};
  while (from !== undefined) {
    const page: ListMultipartUploadsCommandOutput = await listPage(bucket, prefix, from);
    for (const { Key, UploadId, Initiated } of page.Uploads ?? [])
      if (UploadId !== undefined)
        yield { key: bucket.ownKey(decode(Key)), uploadId: UploadId, started: Initiated ?? new Date(0) };
    if (page.IsTruncated === true && page.NextKeyMarker === from.NextKeyMarker)
      if (page.NextUploadIdMarker === from.NextUploadIdMarker) throw standstill(prefix, bucket.name);
    from = page.IsTruncated === true ? page : undefined;
  }
}

async function listPage(
  bucket: S3Bucket,
  prefix: string,
  from: Pick<ListMultipartUploadsCommandOutput, 'NextKeyMarker' | 'NextUploadIdMarker'>,
): Promise<ListMultipartUploadsCommandOutput> {
  const input = {
    Bucket: bucket.name,
    Prefix: bucket.prefix(prefix),
    EncodingType: 'url' as const,
    ...(from.NextKeyMarker !== undefined && { KeyMarker: decode(from.NextKeyMarker) }),
    ...(from.NextUploadIdMarker !== undefined && { UploadIdMarker: from.NextUploadIdMarker }),
  };
  return await bucket.send(
    prefix,
    async (options) => await bucket.client.send(new ListMultipartUploadsCommand(input), options),
  );
}

/** Some servers encode a space as in a form. A plus itself is always encoded. */
function decode(text = ''): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}

/** An ETag as the interface has it. */
export function unquote(etag = ''): string {
  return etag.replace(/^"|"$/g, '');
}
