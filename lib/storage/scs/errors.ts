import { ScsError } from './client/errors.ts';
import { connectionHint, maybeSecret } from '../connection-hints.ts';
import {
  InvalidPart,
  MultipartNotFound,
  ObjectNotFound,
  ObjectUnreadable,
  StoreError,
  StoreUnavailable,
} from '../store.ts';

/** Where a request went, for the message of its failure. */
export interface ScsPlace {
  readonly bucket: string;
  /** Undefined where the endpoint was named itself. */
  readonly region: string | undefined;
  readonly endpoint: string;
}

/** Codes of parts that are not those to be put together. */
const partCodes = ['InvalidPart', 'InvalidPartOrder', 'EntityTooSmall'];

/**
 * What a failed request means to the registry. SCS's error is not kept as the cause: what it says of a signature it does
 * not like may have the string to sign.
 */
export function storeError(error: unknown, key: string, place: ScsPlace): StoreError {
  if (error instanceof StoreError) return error;
  const failure = error instanceof ScsError ? error : new ScsError('Error', String(error));
  const { code } = failure;
  const cause = new Error(summaryOf(failure));
  if (code === 'NoSuchUpload') return new MultipartNotFound(key, { cause });
  if (partCodes.includes(code))
    return new InvalidPart(key, `a part of ${key} is not right: ${code}`, { cause });
  if (code === 'NoSuchKey') return new ObjectNotFound(key, { cause });
  const isOfObject = code === 'AccessDenied' || code === 'HTTP403';
  return new (isOfObject ? ObjectUnreadable : StoreUnavailable)(
    key,
    `the bucket ${place.bucket} did not take a request: ${adviceOn(failure, place)}`,
    { cause },
  );
}

function summaryOf({ code, status, message, requestId, attempts }: ScsError): string {
  return [
    `SCS answered ${status ?? 'nothing'} ${code}`,
    ...(message === '' || message === code || maybeSecret.test(`${code} ${message}`) ? [] : [message]),
    ...(requestId === undefined ? [] : [`request ${requestId}`]),
    ...(attempts === 1 ? [] : [`${attempts} attempts`]),
  ].join('; ');
}

/** What is wrong and what would be right, in words of the settings. */
function adviceOn(error: ScsError, { bucket, region, endpoint }: ScsPlace): string {
  const { code, status, type } = error;
  const setting = `REGISTRY_STORAGE_SCS_${region === undefined ? 'REGIONENDPOINT' : 'REGION'}`;
  switch (code) {
    case 'NoSuchBucket':
      return `${endpoint} has no bucket of this name; check REGISTRY_STORAGE_SCS_BUCKET and ${setting}`;
    case 'InvalidAccessKeyId':
      return `${endpoint} does not know the access key; check REGISTRY_STORAGE_SCS_ACCESSKEY`;
    case 'SignatureDoesNotMatch':
      return (
        'the secret key does not belong to the access key; ' +
        'check REGISTRY_STORAGE_SCS_SECRETKEY and REGISTRY_STORAGE_SCS_ACCESSKEY'
      );
    case 'RequestTimeTooSkewed':
      return "this machine's clock differs too much from the server's; set it";
    case 'AccessDenied':
    case 'HTTP403':
      return `access denied; the keys must be of an account that may list, read and write ${bucket}`;
    case 'TooManyRedirects':
    case 'InvalidRedirect':
    case 'HTTP301':
    case 'HTTP302':
    case 'HTTP307':
      return `${endpoint} names another region, which cannot be followed; check ${setting}`;
  }
  const skipVerify = 'REGISTRY_STORAGE_SCS_SKIPVERIFY';
  const advice = connectionHint(code, { place: endpoint, setting, skipVerify });
  if (advice !== undefined) return advice;
  const isForeign =
    code === 'NotScs' || (code.startsWith('HTTP') && type !== undefined && !type.includes('xml'));
  return isForeign
    ? `${endpoint} answered ${status ?? 'nothing'}${type === undefined ? '' : ` with ${type}`}, which is not how SCS answers; check ${setting}`
    : `${endpoint} answered ${status ?? 'nothing'} (${code})`;
}

/** Does something on the bucket. Its failure becomes a StoreError about `key`. */
export async function onBucket<T>(place: ScsPlace, key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(error, key, place);
  }
}
