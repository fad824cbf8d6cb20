import {
  InvalidPart,
  MultipartNotFound,
  ObjectNotFound,
  ObjectUnreadable,
  StoreUnavailable,
  type StoreError,
} from './store.ts';

/** A failed request to a bucket. */
export interface BucketFailure {
  /** The service's error code; the system's or the client's own if there was no response. */
  readonly code: string;
  /** HTTP status; undefined if there was no readable response. */
  readonly status: number | undefined;
  readonly message: string;
  readonly requestId: string | undefined;
  readonly attempts?: number;
}

/** In errors that may repeat what was signed, and with which key or token. */
const maybeSecret = /signature|credential|authorization|access ?key|token|string ?to ?sign|AWS4-HMAC/i;

/** A failure in one line, without anything that may be secret. */
export function summaryOf(
  service: 'S3' | 'SCS',
  { code, status, message, requestId, attempts = 1 }: BucketFailure,
): string {
  return [
    `${service} answered ${status ?? 'nothing'} ${code}`,
    ...(message === '' || message === code || maybeSecret.test(`${code} ${message}`) ? [] : [message]),
    ...(requestId === undefined ? [] : [`request ${requestId}`]),
    ...(attempts === 1 ? [] : [`${attempts} attempts`]),
  ].join('; ');
}

/**
 * The registry's error for a failed request.
 * @param cause not the client's error: what a service says about a wrong signature contains the string to sign
 * @param other for codes without a meaning of their own: what to do, and whether the failure may concern only this object
 */
export function bucketError(
  key: string,
  code: string,
  cause: Error,
  other: { readonly bucket: string; readonly hint: string; readonly isOfObject: boolean },
): StoreError {
  switch (code) {
    case 'NoSuchUpload':
      return new MultipartNotFound(key, { cause });
    case 'InvalidPart':
    case 'InvalidPartOrder':
    case 'EntityTooSmall':
      return new InvalidPart(key, `a part of ${key} is invalid: ${code}`, { cause });
    case 'NoSuchKey':
      return new ObjectNotFound(key, { cause });
    default: {
      const Unavailable = other.isOfObject ? ObjectUnreadable : StoreUnavailable;
      return new Unavailable(key, `the bucket ${other.bucket} cannot be used: ${other.hint}`, { cause });
    }
  }
}

/** Where requests go, and the settings that say so. */
interface Place {
  /** In words. */
  readonly place: string;
  /** The setting for the place. */
  readonly setting: string;
  /** What the names of all settings start with. */
  readonly prefix: string;
}

/**
 * What is wrong and how to fix it, for codes that S3 and SCS share and for connections that failed.
 * @returns undefined for other codes
 */
export function bucketHint(code: string, { place, setting, prefix }: Place): string | undefined {
  switch (code) {
    case 'NoSuchBucket':
      return `${place} has no bucket of this name; check ${prefix}_BUCKET and ${setting}`;
    case 'InvalidAccessKeyId':
      return `${place} does not know the access key; check ${prefix}_ACCESSKEY`;
    case 'SignatureDoesNotMatch':
      // Some servers answer this to an unknown access key.
      return `the secret key does not belong to the access key; check ${prefix}_SECRETKEY and ${prefix}_ACCESSKEY`;
    case 'RequestTimeTooSkewed':
      return "this machine's clock differs too much from the server's; set it";
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the host of ${place} is not found; check ${setting}`;
    case 'ECONNREFUSED':
      return `nothing listens at ${place}; check ${setting}`;
    case 'EPROTO':
      return `${place} does not speak TLS; check ${setting}, which may have to begin with http://`;
    case 'ECONNRESET':
    case 'EPIPE':
      return `${place} cut the connection; check ${setting}, which may have to begin with https://`;
    case 'ETIMEDOUT':
    case 'TimeoutError':
    case 'AbortError':
    case 'ABORT_ERR':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `${place} does not answer (${code}); check ${setting}`;
    case 'CERT_HAS_EXPIRED':
      return `the certificate of ${place} has expired; renew it there`;
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `the certificate of ${place} is for another host; check ${setting}`;
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return (
        `the certificate of ${place} is signed by an unknown authority; name its certificate in NODE_EXTRA_CA_CERTS, ` +
        `or set ${prefix}_SKIPVERIFY=true for a test`
      );
    default:
      return undefined;
  }
}
