import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { listPage, type PageResponse, type PageRequest } from '../listing-page.ts';
import type { S3Bucket } from './bucket.ts';
import { isValidPrefix, StoreUnavailable, type Listing, type ListOptions } from '../store.ts';

/** Most entries of a page ("ListObjectsV2", MaxKeys). */
const largestPage = 1000;

/** One page of a bucket's keys. See `ObjectLister.list`. */
export async function listObjects(bucket: S3Bucket, options: ListOptions): Promise<Listing> {
  // MinIO refuses such.
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
    Prefix: bucket.prefix(prefix),
    ...(delimiter !== undefined && { Delimiter: delimiter }),
    ...(after !== '' && { StartAfter: bucket.prefix(after) }),
    MaxKeys: delimiter !== undefined && bucket.countsRolledUpKeys ? largestPage : maxKeys,
    // Keys may have characters that XML cannot.
    EncodingType: 'url' as const,
  };
  const page = await bucket.send(
    prefix,
    async (options) => await bucket.client.send(new ListObjectsV2Command(input), options),
  );
  const { IsTruncated: isTruncated, Contents = [], CommonPrefixes = [] } = page;
  if (isTruncated === undefined) throw notS3(prefix, bucket);
  // MinIO's pages end where they have so many keys, rolled up or not.
  if (isTruncated && delimiter !== undefined && Contents.length + CommonPrefixes.length < input.MaxKeys)
    bucket.countsRolledUpKeys = true;
  const keyOf = (text: string | undefined) => bucket.ownKey(decode(page, text));
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

/** What answers like a web site, with 200 to all it is asked, holds no images. */
export function notS3(key: string, { options }: S3Bucket): StoreUnavailable {
  const place = options.endpoint ?? options.region;
  return new StoreUnavailable(
    key,
    `${place} answered 200, which is not how S3 answers; check REGISTRY_STORAGE_S3_REGIONENDPOINT`,
  );
}

/**
 * A key as it stands in an answer, which says whether it is encoded: not all servers do as they are asked. Some encode a
 * space as in a form; a plus itself is always encoded. Bytes that are no UTF-8 become replacement characters.
 */
export function decode({ EncodingType }: { readonly EncodingType?: string | undefined }, text = ''): string {
  if (EncodingType !== 'url') return text;
  return text
    .replaceAll('+', ' ')
    .replace(/(?:%[\da-f]{2})+/gi, (bytes) => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString());
}

/** An ETag as the interface has it. */
export function unquote(etag = ''): string {
  return etag.replace(/^"|"$/g, '');
}
