import {
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type ListMultipartUploadsCommandOutput,
} from '@aws-sdk/client-s3';
import type { S3Bucket } from './s3-bucket.ts';
import type { Listing, ListOptions, MultipartUpload, ObjectInfo } from './store.ts';
import { compareKeys, StoreUnavailable } from './store.ts';

/** Sorts after every key that begins with what stands before it. */
const last = '\u{10ffff}';

/** One page of a bucket's keys. See `ObjectLister.list`. */
export async function listObjects(
  bucket: S3Bucket,
  { prefix = '', delimiter, startAfter = '', limit = 1000 }: ListOptions,
): Promise<Listing> {
  const input = {
    Bucket: bucket.name,
    Prefix: bucket.prefix(prefix),
    ...(delimiter !== undefined && { Delimiter: delimiter }),
    ...(startAfter !== '' && { StartAfter: bucket.prefix(skip(prefix, delimiter, startAfter)) }),
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
  const prefixes = (page.CommonPrefixes ?? [])
    .map((entry) => keyOf(entry.Prefix))
    // Servers differ in whether a prefix counts as listed once a key within it was.
    .filter((one) => !startAfter.startsWith(one));
  const end = [objects.at(-1)?.key, prefixes.at(-1)]
    .filter((key) => key !== undefined)
    .sort(compareKeys)
    .at(-1);
  if (!page.IsTruncated) return { objects, prefixes, next: undefined };
  if (end === undefined || compareKeys(end, startAfter) <= 0) throw standstill(prefix, bucket);
  return { objects, prefixes, next: end };
}

/** What answers like a web site, with 200 to all it is asked, holds no images. */
export function notAsS3(key: string, { options }: S3Bucket): StoreUnavailable {
  const place = options.endpoint ?? options.region;
  return new StoreUnavailable(
    key,
    `${place} answered 200, which is not how S3 answers; check REGISTRY_STORAGE_S3_REGIONENDPOINT`,
  );
}

/** Whoever asks for page after page would never come to an end. */
function standstill(prefix: string, { name }: S3Bucket): StoreUnavailable {
  return new StoreUnavailable(prefix, `the bucket ${name} says that its listing goes on, and not where`);
}

/** Where a listing goes on: a rolled-up prefix that counts as listed is passed over with all that it stands for. */
function skip(prefix: string, delimiter: string | undefined, startAfter: string): string {
  if (delimiter === undefined || !startAfter.startsWith(prefix)) return startAfter;
  const at = startAfter.indexOf(delimiter, prefix.length);
  return at < 0 ? startAfter : startAfter.slice(0, at + delimiter.length) + last;
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
      if (page.NextUploadIdMarker === from.NextUploadIdMarker) throw standstill(prefix, bucket);
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
