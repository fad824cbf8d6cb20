import { STATUS_CODES } from 'node:http';
import { responseTimeMs } from './response-time.ts';
import { hasRoot, textOf } from './xml.ts';

/** The headers of a response, names in lower case. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

interface ErrorDetails {
  /** HTTP status; undefined if there was no response. */
  readonly status?: number | undefined;
  /** Headers of the response. */
  readonly headers?: ResponseHeaders | undefined;
  readonly requestId?: string | undefined;
  /** The bucket's region, if the response names it. */
  readonly region?: string | undefined;
  /** What the response is, if S3 does not answer like this: its media type, or an empty string if it has none. */
  readonly foreignType?: string | undefined;
  readonly cause?: unknown;
}

/** The time of a request is over; or its server says so, although its answers are dated earlier. */
export type Lateness = 'expired' | 'clocks differ';

/** A failed request. Its message is the server's, which may repeat what was signed. */
export class S3Error extends Error {
  override readonly name = 'S3Error';
  /**
   * S3's error code, such as `NoSuchKey`; the name of the status, such as `NotFound`, if the response has none, as for HEAD,
   * or the status itself, if S3 does not answer like this; without a response the system's code, such as `ECONNRESET`, or `ETIMEDOUT`.
   */
  readonly code: string;
  readonly details: ErrorDetails;
  /** How often the request was sent; each attempt may have taken effect. */
  attempts = 1;
  /** Whether the request was signed with a wrong time, and the right one is known now. */
  isClockCorrected = false;
  /** Set if the request was valid for a time, and refused for that. */
  lateness: Lateness | undefined;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.details = details;
  }

  get status(): number | undefined {
    return this.details.status;
  }
}

/** The error in a response. @param body empty for a response to HEAD */
export function responseError(status: number, headers: ResponseHeaders, body: string): S3Error {
  const code = hasRoot(body, 'Error') ? textOf(body, 'Code') : undefined;
  const region = textOf(body, 'Region') ?? headerText(headers['x-amz-bucket-region']);
  const common = { status, headers, region };
  if (code !== undefined && code !== '')
    return new S3Error(code, textOf(body, 'Message') ?? '', {
      ...common,
      requestId: textOf(body, 'RequestId') ?? headerText(headers['x-amz-request-id']),
    });
  const [type = ''] = (headerText(headers['content-type']) ?? '').split(';');
  const isForeign = body !== '' || /^(text\/(html|plain)|application\/json)$/.test(type);
  return new S3Error(isForeign ? String(status) : nameOf(status), '', {
    ...common,
    requestId: headerText(headers['x-amz-request-id']),
    ...(isForeign && { foreignType: type }),
  });
}

/**
 * Why a request that is valid for a time was refused, if for its time: the server says so, or its answer is dated later. What servers say
 * differs: AWS has AccessDenied "Request has expired".
 * @param validity from when, and for how many seconds
 */
export function lateness(
  { code, message, details }: S3Error,
  { fromMs, expiresIn }: { readonly fromMs: number; readonly expiresIn: number },
): Lateness | undefined {
  const endMs = fromMs + expiresIn * 1000;
  const timeMs = responseTimeMs(details.headers ?? {}) ?? endMs;
  // Credentials have another time.
  const isNamed =
    !code.includes('Token') && /expired|not (yet )?valid|NotReady|Skew/i.test(`${code} ${message}`);
  if (timeMs < endMs && !isNamed) return undefined;
  return timeMs < endMs - skewMs ? 'clocks differ' : 'expired';
}

/** By how much the clocks of a server's machines may differ. */
const skewMs = 30_000;

/** Whether an attempt can have no effect, now or later: it was not connected, or refused as one too many. */
export function isUntaken({ code, status }: S3Error): boolean {
  return (
    status === 429 ||
    throttlingCodes.includes(code) ||
    ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].includes(code)
  );
}

/** What servers call their refusal of one request too many. */
export const throttlingCodes: readonly string[] = [
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'RequestLimitExceeded',
  'RequestThrottled',
];

/** The error of a request without a complete response. */
export function connectionError(cause: unknown): S3Error {
  if (cause instanceof S3Error) return cause;
  const { name, code, message } = cause as NodeJS.ErrnoException;
  const known = systemCodes[code ?? ''] ?? code ?? name;
  // What OpenSSL calls bytes that are no TLS.
  return new S3Error(known.startsWith('ERR_SSL_') ? 'EPROTO' : known, message.trim(), { cause });
}

/** What the client of HTTP calls faults of a connection that the system has a name for. */
const systemCodes: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: 'ECONNRESET',
  UND_ERR_CONNECT_TIMEOUT: 'ETIMEDOUT',
  UND_ERR_HEADERS_TIMEOUT: 'ETIMEDOUT',
  UND_ERR_BODY_TIMEOUT: 'ETIMEDOUT',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'ECONNRESET',
};

/** A status in one word, as S3's codes are: `NotFound`. */
function nameOf(status: number): string {
  return (STATUS_CODES[status] ?? `HTTP${status}`).replace(/[^A-Za-z\d]/g, '');
}

/** A header's value; the first if it was sent several times. */
export function headerText(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
