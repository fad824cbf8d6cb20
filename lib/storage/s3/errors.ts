import { bucketError, bucketHint, summaryOf, type BucketFailure } from '../bucket-errors.ts';
import { FenceEnded, PreconditionFailed, StoreError } from '../store.ts';
import { S3Error } from './client/errors.ts';

/** Where a request went. */
interface Destination {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint?: string | undefined;
}

/** The registry's error for a failed request. */
export function storeError(error: unknown, key: string, destination: Destination): StoreError {
  if (error instanceof StoreError) return error;
  const failure = failureOf(error);
  const { code, status } = failure;
  const cause = new Error(foreignResponse(error) ?? summaryOf('S3', failure));
  if (error instanceof S3Error && error.lateness === 'expired') return new FenceEnded(key, { cause });
  if (status === 412) return new PreconditionFailed(key, { cause });
  return bucketError(key, code, cause, {
    bucket: destination.bucket,
    hint: hintFor(failure, error, destination),
    isOfObject: status === 403 && objectCodes.includes(code),
  });
}

/**
 * Codes of a 403 that may concern only one object, such as an archived one or one whose KMS key is gone. A response to HEAD has no
 * code. It mostly means that a right is missing, so it is an outage: nothing may look as if it were gone.
 */
const objectCodes = ['AccessDenied', 'InvalidObjectState'];

export function failureOf(error: unknown): BucketFailure {
  if (error instanceof S3Error) {
    const { code, status, message, attempts, details } = error;
    return { code, status, message, requestId: details.requestId, attempts };
  }
  if (!(error instanceof Error))
    return { code: String(error), status: undefined, message: '', requestId: undefined };
  const { code, name, message } = error as NodeJS.ErrnoException;
  return { code: code ?? name, status: undefined, message, requestId: undefined };
}

/** Describes a response that cannot be S3's. */
function foreignResponse(error: unknown): string | undefined {
  if (!(error instanceof S3Error)) return undefined;
  const { status, foreignType: type } = error.details;
  if (status === undefined || type === undefined) return undefined;
  return `answered ${status}${type === '' ? '' : ` with ${type}`}, which is not how S3 answers`;
}

/** What is wrong and which setting fixes it. */
function hintFor(
  { code, status }: BucketFailure,
  error: unknown,
  { bucket, region, endpoint }: Destination,
): string {
  const place = endpoint ?? `S3 in ${region}`;
  const setting = `REGISTRY_STORAGE_S3_${endpoint === undefined ? 'REGION' : 'REGIONENDPOINT'}`;
  const wrongRegion = `it is not in the region ${region}${rightRegion(error)}; check REGISTRY_STORAGE_S3_REGION`;
  const denied =
    'access denied; the key needs s3:ListBucket, s3:ListBucketMultipartUploads on the bucket and s3:GetObject, ' +
    `s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload on ${bucket}/*`;
  if (error instanceof S3Error && error.lateness === 'clocks differ')
    return `${place} refuses for its time what was dated by its own answers; set its clock, and those of the proxies before it`;
  switch (code) {
    case 'ExpiredToken':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return 'the credentials are invalid or have expired; get new ones, and check REGISTRY_STORAGE_S3_SESSIONTOKEN';
    case 'CredentialsProviderError':
      return 'no credentials were found; set REGISTRY_STORAGE_S3_ACCESSKEY and _SECRETKEY, or give the process a role';
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return wrongRegion;
    case 'AccessDenied':
    case 'Forbidden':
      return denied;
    case 'SlowDown':
    case 'ServiceUnavailable':
      return `${place} throttles requests; try again later`;
  }
  const hint = bucketHint(code, { place, setting, prefix: 'REGISTRY_STORAGE_S3' });
  if (hint !== undefined) return hint;
  // A HEAD response has no code.
  if (status === 301 || status === 307) return wrongRegion;
  const foreign = foreignResponse(error);
  if (foreign !== undefined) return `${place} ${foreign}; check ${setting}`;
  if (status === 403) return denied;
  // S3 itself has a code for this.
  if (code === 'NotFound')
    return `${place} has nothing at this path; check ${setting} and REGISTRY_STORAGE_S3_BUCKET`;
  return `${place} answered ${status ?? 'nothing'} (${code}); look at its own log, or check ${setting}`;
}

function rightRegion(error: unknown): string {
  const region = error instanceof S3Error ? error.details.region : undefined;
  return region === undefined ? '' : ` but in ${region}`;
}
