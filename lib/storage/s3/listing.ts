import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { listPage, maxPageSize, type PageRequest, type PageResponse } from '../listing-page.ts';
import type { S3Bucket } from './bucket.ts';
import { isValidPrefix, StoreUnavailable, type Listing, type ListOptions } from '../store.ts';

/** One page of a bucket's keys. See `ObjectLister.list`. */
export async function listObjects(bucket: S3Bucket, options: ListOptions): Promise<Listing> {
  // MinIO refuses invalid prefixes.
  if (!isValidPrefix(options.prefix ?? '')) return { objects: [], prefixes: [], next: undefined };
  const request = async (page: PageRequest) => await requestPage(bucket, page);
  return await listPage({ name: bucket.name, request, startsInFolders: bucket.startsInFolders }, options);
}

async function requestPage(
  bucket: S3Bucket,
  { prefix, delimiter, after, maxKeys }: PageRequest,
): Promise<PageResponse> {
  const input = {
    Bucket: bucket.name,
    Prefix: bucket.root.prefix(prefix),
    ...(delimiter !== undefined && { Delimiter: delimiter }),
    ...(after !== '' && { StartAfter: bucket.root.prefix(after) }),
    MaxKeys: delimiter !== undefined && bucket.countsRolledUpKeys ? maxPageSize : maxKeys,
    // Keys may have characters that XML cannot represent.
    EncodingType: 'url' as const,
  };
  const page = await bucket.send(prefix, new ListObjectsV2Command(input));
  const { IsTruncated: isTruncated, Contents = [], CommonPrefixes = [] } = page;
  if (isTruncated === undefined) throw notS3(prefix, bucket);
  // MinIO counts keys before it rolls them up.
  if (isTruncated && delimiter !== undefined && Contents.length + CommonPrefixes.length < input.MaxKeys)
    bucket.countsRolledUpKeys = true;
  const keyOf = (text: string | undefined) => bucket.root.ownKey(decode(page, text));
  return {
    objects: Contents.map((entry) => ({
      key: keyOf(entry.Key),
      size: entry.Size ?? 0,
      lastModified: entry.LastModified ?? new Date(0),
      etag: unquote(entry.ETag),
    })),
    prefixes: CommonPrefixes.map((entry) => keyOf(entry.Prefix)),
    isTruncated,
  };
}

/** The error for a server that answers 200 to any request, as web sites do. */
export function notS3(key: string, { options }: S3Bucket): StoreUnavailable {
  const place = options.endpoint ?? options.region;
  return new StoreUnavailable(
    key,
    `${place} answered 200, which is not how S3 answers; check REGISTRY_STORAGE_S3_REGIONENDPOINT`,
  );
}

/**
 * Decodes a key in a response, which says whether keys are encoded: not all servers do as requested. Some encode a space
 * as `+`; all encode a plus itself. Bytes that are not UTF-8 become replacement characters.
 */
export function decode({ EncodingType }: { readonly EncodingType?: string | undefined }, text = ''): string {
  if (EncodingType !== 'url') return text;
  return text
    .replaceAll('+', ' ')
    .replace(/(?:%[\da-f]{2})+/gi, (bytes) => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString());
}

/** An ETag without quotes. */
export function unquote(etag = ''): string {
  return etag.replace(/^"|"$/g, '');
}
