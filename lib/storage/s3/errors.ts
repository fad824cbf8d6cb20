import { S3ServiceException } from '@aws-sdk/client-s3';
import { connectionHint, maybeSecret } from '../connection-hints.ts';
import {
  InvalidPart,
  MultipartNotFound,
  ObjectNotFound,
  ObjectUnreadable,
  PreconditionFailed,
  StoreError,
  StoreUnavailable,
} from '../store.ts';

/** Where a request went, for the message of its failure. */
interface Destination {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint?: string | undefined;
}

/** What is known of a failed request. */
interface Failure {
  /** S3's error code, or the SDK's name or the system's code where no server has answered. */
  readonly code: string;
  /** HTTP status; undefined where no server has answered, or none in a way that can be read. */
  readonly status: number | undefined;
}

/**
 * What a failed request means to the registry. The SDK's error is not kept as the cause: what S3 says of a signature it
 * does not like has the string to sign and the key's id.
 */
export function storeError(error: unknown, key: string, destination: Destination): StoreError {
  if (error instanceof StoreError) return error;
  const failure = failureOf(error);
  const summary = new Error(summaryOf(error, failure));
  const { code, status } = failure;
  if (code === 'NoSuchUpload') return new MultipartNotFound(key, { cause: summary });
  if (['InvalidPart', 'InvalidPartOrder', 'EntityTooSmall'].includes(code))
    return new InvalidPart(key, `a part of ${key} is not right: ${code}`, { cause: summary });
  if (status === 412) return new PreconditionFailed(key, { cause: summary });
  if (code === 'NoSuchKey') return new ObjectNotFound(key, { cause: summary });
  const advice = adviceOn(failure, error, destination);
  // Such as of an object whose key of KMS is gone, or that was archived.
  const isOfObject = status === 403 && ofObject.includes(code);
  return new (isOfObject ? ObjectUnreadable : StoreUnavailable)(
    key,
    `the bucket ${destination.bucket} did not take a request: ${advice}`,
    {
      cause: summary,
    },
  );
}

/** Codes of 403 that need not be those of every other request. That of a HEAD is the status in words. */
const ofObject = ['AccessDenied', 'InvalidObjectState', 'Forbidden', '403'];

/** S3's code and status of a failed request. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { code: String(error), status: undefined };
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
  const { code } = error as NodeJS.ErrnoException;
  return { code: status === undefined && typeof code === 'string' ? code : error.name, status };
}

function summaryOf(error: unknown, { code, status }: Failure): string {
  const foreign = foreignAnswer(error);
  if (foreign !== undefined) return foreign;
  const text = error instanceof Error ? error.message : '';
  const id = error instanceof S3ServiceException ? error.$metadata.requestId : undefined;
  return [
    `S3 answered ${status ?? 'nothing'} ${code}`,
    ...(text === '' || text === code || maybeSecret.test(`${code} ${text}`) ? [] : [text]),
    ...(id === undefined ? [] : [`request ${id}`]),
  ].join('; ');
}

/** What of an answer the SDK leaves in its errors. */
interface Answered {
  readonly Code?: unknown;
  readonly Region?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string | undefined>> };
}

/** An answer that is none of S3, in words: it cannot be read as one, or is of a type that S3's errors never have. */
function foreignAnswer(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { Code, $metadata, $response } = error as Answered;
  const status = $metadata?.httpStatusCode;
  if (status === undefined) return undefined;
  const [type = ''] = ($response?.headers?.['content-type'] ?? '').split(';');
  const readable = error instanceof S3ServiceException;
  if (readable && (Code !== undefined || !/^(text\/(html|plain)|application\/json)$/.test(type)))
    return undefined;
  return `answered ${status}${type === '' ? '' : ` with ${type}`}, which is not how S3 answers`;
}

/** What is wrong and what would be right, in words of the settings. */
function adviceOn(
  { code, status }: Failure,
  error: unknown,
  { bucket, region, endpoint }: Destination,
): string {
  const place = endpoint ?? `S3 in ${region}`;
  const setting = `REGISTRY_STORAGE_S3_${endpoint === undefined ? 'REGION' : 'REGIONENDPOINT'}`;
  switch (code) {
    case 'NoSuchBucket':
      return `${place} has no bucket of this name; check REGISTRY_STORAGE_S3_BUCKET`;
    case 'InvalidAccessKeyId':
      return `${place} does not know the access key; check REGISTRY_STORAGE_S3_ACCESSKEY`;
    case 'SignatureDoesNotMatch':
      // Some servers answer this to an access key they do not know.
      return (
        'the secret key does not belong to the access key; ' +
        'check REGISTRY_STORAGE_S3_SECRETKEY and REGISTRY_STORAGE_S3_ACCESSKEY'
      );
    case 'ExpiredToken':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return 'the credentials are not valid, or no longer; get new ones, and check REGISTRY_STORAGE_S3_SESSIONTOKEN';
    case 'CredentialsProviderError':
      return 'no credentials were found; set REGISTRY_STORAGE_S3_ACCESSKEY and _SECRETKEY, or give the process a role';
    case 'RequestTimeTooSkewed':
      return "this machine's clock differs too much from the server's; set it";
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return `it is not in the region ${region}${rightRegion(error)}; check REGISTRY_STORAGE_S3_REGION`;
    case 'AccessDenied':
    case 'Forbidden':
      return deniedAdvice(bucket);
    case 'SlowDown':
    case 'ServiceUnavailable':
      return `${place} asks to slow down`;
    default:
      return (
        connectionHint(code, { place, setting, skipVerify: 'REGISTRY_STORAGE_S3_SKIPVERIFY' }) ??
        otherAdvice({ code, status }, error, { place, setting, region, bucket })
      );
  }
}

function deniedAdvice(bucket: string): string {
  return (
    'access denied; the key needs s3:ListBucket, s3:ListBucketMultipartUploads on the bucket and s3:GetObject, ' +
    `s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload on ${bucket}/*`
  );
}

/** Where S3's code says nothing, as it has none in the answer to a HEAD. */
function otherAdvice(
  { code, status }: Failure,
  error: unknown,
  { place, setting, region, bucket }: Readonly<Record<'place' | 'setting' | 'region' | 'bucket', string>>,
): string {
  if (status === 301 || status === 307)
    return `it is not in the region ${region}${rightRegion(error)}; check REGISTRY_STORAGE_S3_REGION`;
  const foreign = foreignAnswer(error);
  if (foreign !== undefined) return `${place} ${foreign}; check ${setting}`;
  if (status === 403) return deniedAdvice(bucket);
  // Of a listing, for which S3 itself would have given a code.
  if (code === 'NotFound')
    return `${place} has nothing at this place; check ${setting} and REGISTRY_STORAGE_S3_BUCKET`;
  return `${place} answered ${status ?? 'nothing'} (${code})`;
}

/** S3 says where a bucket is in a header, or in the error itself. */
function rightRegion(error: unknown): string {
  const { Region, $response } = error as Answered;
  const region = typeof Region === 'string' ? Region : $response?.headers?.['x-amz-bucket-region'];
  return region === undefined ? '' : ` but in ${region}`;
}
