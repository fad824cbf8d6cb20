import type { S3Bucket } from './bucket.ts';
import { elementsOf, hasRoot, textOf } from './client/xml.ts';
import { failureOf } from './errors.ts';
import { decode, notS3 } from './listing.ts';
import { StoreUnavailable, type NoncurrentVersions } from '../store.ts';

/** Where a listing of versions goes on. */
interface Marker {
  readonly key: string;
  readonly versionId: string;
}

/**
 * Counts what deletes and overwrites have left below a prefix of a bucket with versions: one request for each thousand versions,
 * current ones too, with one page in memory. Needs the right s3:ListBucketVersions.
 * @throws StoreUnavailable whose message says why they could not be counted
 */
export async function countNoncurrentVersions(
  bucket: S3Bucket,
  prefix: string,
  onPage: (listed: number) => void = () => undefined,
): Promise<NoncurrentVersions> {
  const count = { versions: 0, bytes: 0, deleteMarkers: 0 };
  let listed = 0;
  for (let after: Marker | undefined = { key: '', versionId: '' }; after !== undefined;) {
    const page = await requestPage(bucket, prefix, after);
    const versions = elementsOf(page, 'Version');
    const deleteMarkers = elementsOf(page, 'DeleteMarker').length;
    const noncurrent = versions.filter((version) => textOf(version, 'IsLatest') !== 'true');
    count.versions += noncurrent.length;
    count.bytes += noncurrent.reduce((sum, version) => sum + Number(textOf(version, 'Size') ?? 0), 0);
    count.deleteMarkers += deleteMarkers;
    listed += versions.length + deleteMarkers;
    onPage(listed);
    after = nextMarker(bucket, prefix, page, after);
  }
  return count;
}

async function requestPage(bucket: S3Bucket, prefix: string, { key, versionId }: Marker): Promise<string> {
  const query = {
    versions: '',
    prefix: bucket.root.prefix(prefix),
    'max-keys': '1000',
    'encoding-type': 'url',
    ...(key !== '' && { 'key-marker': key }),
    ...(versionId !== '' && { 'version-id-marker': versionId }),
  };
  const request = { operation: 'ListObjectVersions', method: 'GET', query } as const;
  const response = await bucket.send(prefix, request, (error) => {
    throw isRefused(error) ? refused(prefix, bucket) : error;
  });
  const page = response.body.toString();
  if (!hasRoot(page, 'ListVersionsResult') || textOf(page, 'IsTruncated') === undefined)
    throw notS3(prefix, bucket);
  return page;
}

function nextMarker(bucket: S3Bucket, prefix: string, page: string, after: Marker): Marker | undefined {
  if (textOf(page, 'IsTruncated') !== 'true') return undefined;
  const key = decode(textOf(page, 'EncodingType'), textOf(page, 'NextKeyMarker'));
  const versionId = textOf(page, 'NextVersionIdMarker') ?? '';
  // Else a server that does not know them would be asked for the same page for ever.
  if (key === '' || (key === after.key && versionId === after.versionId))
    throw new StoreUnavailable(prefix, `the list of versions of ${bucket.name} does not go on after a page`);
  return { key, versionId };
}

function isRefused(error: unknown): boolean {
  const { code, status } = failureOf(error);
  return status === 403 && (code === 'AccessDenied' || code === 'Forbidden');
}

/** The usual message names rights that are not missing here. */
function refused(prefix: string, { name }: S3Bucket): StoreUnavailable {
  return new StoreUnavailable(prefix, `the key needs the right s3:ListBucketVersions on the bucket ${name}`);
}
