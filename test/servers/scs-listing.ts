import type { Elements } from './scs-answers.ts';
import type { ScsObjects, StoredObject } from './scs-objects.ts';

/** Most entries of a listing. */
const most = 100;

/** Ways in which servers differ and SCS may be either. */
export interface ListingHabits {
  /** Whether a rolled-up prefix is listed again after a marker within it, while keys below it follow. */
  readonly repeatsPrefixes?: boolean;
  /** Whether NextMarker is left out of listings without a delimiter, as S3 does. */
  readonly nextMarkerOnlyWithDelimiter?: boolean;
}

/** What a listing is asked for. */
export interface ListingQuery {
  readonly prefix: string;
  readonly delimiter: string;
  readonly marker: string;
  readonly limit: number;
}

/** A ListBucketResult. */
export function listKeys(
  { objects }: ScsObjects,
  bucket: string,
  { prefix, delimiter, marker, limit }: ListingQuery,
  { repeatsPrefixes = false, nextMarkerOnlyWithDelimiter = false }: ListingHabits,
): Elements {
  const maxKeys = Math.min(limit, most);
  const entries = new Map<string, StoredObject | undefined>();
  for (const key of inByteOrder(objects.keys(), prefix)) {
    if (byteOrder(key, marker) <= 0) continue;
    const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    const rolledUp = at < 0 ? undefined : key.slice(0, at + delimiter.length);
    const isListed = rolledUp !== undefined && byteOrder(rolledUp, marker) <= 0 && !repeatsPrefixes;
    if (!isListed) entries.set(rolledUp ?? key, rolledUp === undefined ? objects.get(key) : undefined);
  }
  const page = [...entries].slice(0, maxKeys);
  const isTruncated = entries.size > page.length && maxKeys > 0;
  const hasNext = isTruncated && (delimiter !== '' || !nextMarkerOnlyWithDelimiter);
  return {
    Name: bucket,
    Prefix: prefix,
    Delimiter: delimiter,
    Marker: marker,
    ...(hasNext && { NextMarker: page.at(-1)?.[0] ?? '' }),
    MaxKeys: maxKeys,
    IsTruncated: isTruncated,
    Contents: page.flatMap(([Key, object]) => (object === undefined ? [] : [contents(Key, object)])),
    CommonPrefixes: page.flatMap(([Prefix, object]) => (object === undefined ? [{ Prefix }] : [])),
  };
}

function contents(Key: string, { modified, size, etag }: StoredObject): Elements {
  return {
    Key,
    LastModified: modified.toISOString(),
    Size: size,
    ETag: `"${etag}"`,
    StorageClass: 'STANDARD',
    Owner: { ID: 'owner', DisplayName: 'owner' },
  };
}

/** A ListMultipartUploadsResult, by key and id. */
export function listUploads(
  { uploads }: ScsObjects,
  bucket: string,
  { prefix, limit }: Pick<ListingQuery, 'prefix' | 'limit'>,
  after: { readonly key: string; readonly id: string },
): Elements {
  const found = [...uploads]
    .map(([id, { key, started }]) => ({ id, key, started }))
    .filter(({ key }) => key.startsWith(prefix))
    .sort((a, b) => byteOrder(a.key, b.key) || byteOrder(a.id, b.id))
    .filter(({ key, id }) => (byteOrder(key, after.key) || byteOrder(id, after.id)) > 0);
  const page = found.slice(0, Math.min(limit, most));
  const last = page.at(-1);
  return {
    Bucket: bucket,
    Prefix: prefix,
    IsTruncated: page.length < found.length,
    ...(page.length < found.length && { NextKeyMarker: last?.key ?? '', NextUploadIdMarker: last?.id ?? '' }),
    Upload: page.map(({ id, key, started }) => ({
      Key: key,
      UploadId: id,
      Initiated: started.toISOString(),
    })),
  };
}

function inByteOrder(keys: Iterable<string>, prefix: string): string[] {
  return [...keys].filter((key) => key.startsWith(prefix)).sort(byteOrder);
}

function byteOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
