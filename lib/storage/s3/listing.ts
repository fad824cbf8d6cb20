import { listPage, maxPageSize, type PageRequest, type PageResponse } from '../listing-page.ts';
import type { S3Bucket } from './bucket.ts';
import { headerText, type ResponseHeaders } from './client/errors.ts';
import { elementsOf, hasRoot, textOf } from './client/xml.ts';
import { isValidPrefix, StoreUnavailable, type Listing, type ListOptions } from '../store.ts';

/**
 * One page of a bucket's keys. See `ObjectLister.list`.
 * @param onHeaders sees the headers of each response
 */
export async function listObjects(
  bucket: S3Bucket,
  options: ListOptions,
  onHeaders?: (headers: ResponseHeaders) => void,
): Promise<Listing> {
  // MinIO refuses invalid prefixes.
  if (!isValidPrefix(options.prefix ?? '')) return { objects: [], prefixes: [], next: undefined };
  const request = async (page: PageRequest) => await requestPage(bucket, page, onHeaders);
  return await listPage({ name: bucket.name, request, startsInFolders: bucket.startsInFolders }, options);
}

async function requestPage(
  bucket: S3Bucket,
  { prefix, delimiter, after, maxKeys }: PageRequest,
  onHeaders?: (headers: ResponseHeaders) => void,
): Promise<PageResponse> {
  const keys = delimiter !== undefined && bucket.countsRolledUpKeys ? maxPageSize : maxKeys;
  const query = {
    'list-type': '2',
    prefix: bucket.root.prefix(prefix),
    ...(delimiter !== undefined && { delimiter }),
    ...(after !== '' && { 'start-after': bucket.root.prefix(after) }),
    'max-keys': String(keys),
    // Keys may have characters that XML cannot represent.
    'encoding-type': 'url',
  };
  const response = await bucket.send(prefix, { operation: 'ListObjectsV2', method: 'GET', query });
  onHeaders?.(response.headers);
  const page = response.body.toString();
  const truncated = hasRoot(page, 'ListBucketResult') ? textOf(page, 'IsTruncated') : undefined;
  if (truncated === undefined) throw notS3(prefix, bucket);
  const encoding = textOf(page, 'EncodingType');
  const keyOf = (element: string, name: string) =>
    bucket.root.ownKey(decode(encoding, textOf(element, name)));
  const objects = elementsOf(page, 'Contents').map((entry) => ({
    key: keyOf(entry, 'Key'),
    size: Number(textOf(entry, 'Size') ?? 0),
    lastModified: new Date(textOf(entry, 'LastModified') ?? 0),
    etag: unquote(textOf(entry, 'ETag')),
  }));
  const prefixes = elementsOf(page, 'CommonPrefixes').map((entry) => keyOf(entry, 'Prefix'));
  const isTruncated = truncated === 'true';
  // MinIO counts keys before it rolls them up.
  if (isTruncated && delimiter !== undefined && objects.length + prefixes.length < keys)
    bucket.countsRolledUpKeys = true;
  return { objects, prefixes, isTruncated };
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
export function decode(encoding: string | undefined, text = ''): string {
  if (encoding !== 'url' || !/[+%]/.test(text)) return text;
  return text
    .replaceAll('+', ' ')
    .replace(/(?:%[\da-f]{2})+/gi, (bytes) => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString());
}

/** The ETag of a response, without quotes; empty without one. */
export function etagOf(headers: ResponseHeaders): string {
  return unquote(headerText(headers['etag']));
}

/** An ETag without quotes. */
export function unquote(etag = ''): string {
  return etag.startsWith('"') && etag.endsWith('"') ? etag.slice(1, -1) : etag.replace(/^"|"$/g, '');
}
