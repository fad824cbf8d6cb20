/**
 * Every way a request can fail: HTTP status, default message, and the code in the response where it differs from the name.
 * The codes are those of the OCI Distribution Specification ("Error Codes") and, where it has none, of distribution's
 * `errcode` registry.
 */
const failures = {
  UNAUTHORIZED: [401, 'authentication required'],
  DENIED: [403, 'requested access to the resource is denied'],
  TOO_MANY_REQUESTS: [429, 'too many requests; try again later', 'TOOMANYREQUESTS'],
  BLOB_UNKNOWN: [404, 'blob unknown to this repository'],
  BLOB_UPLOAD_INVALID: [400, 'blob upload invalid'],
  BLOB_UPLOAD_UNKNOWN: [
    404,
    'blob upload unknown: it was finished, cancelled or has expired; start another one',
  ],
  // A well-formed state was more likely signed by another instance than altered.
  UPLOAD_STATE_FOREIGN: [
    400,
    'the _state of this upload was signed with another REGISTRY_HTTP_SECRET, which must be the same on all instances, or was altered: use the Location as sent',
    'BLOB_UPLOAD_INVALID',
  ],
  DIGEST_INVALID: [400, 'digest invalid'],
  // 404 as in the spec's table (end-7); distribution responds with 400.
  MANIFEST_BLOB_UNKNOWN: [
    404,
    'manifest references a blob or manifest that is not in this repository; push that first',
  ],
  MANIFEST_INVALID: [400, 'manifest invalid'],
  MANIFEST_TOO_LARGE: [413, 'manifest too large', 'SIZE_INVALID'],
  MANIFEST_UNKNOWN: [404, 'manifest unknown to this repository'],
  NAME_INVALID: [400, 'invalid repository name'],
  NAME_UNKNOWN: [404, 'repository name not known to registry'],
  PAGINATION_NUMBER_INVALID: [400, 'n must be a whole number from 0'],
  PRECONDITION_FAILED: [
    412,
    'precondition failed: the current content does not match If-Match or If-None-Match',
    'DENIED',
  ],
  RANGE_INVALID: [416, 'range not satisfiable'],
  SIZE_INVALID: [400, 'size does not match'],
  TOO_MANY_TAGS: [414, 'too many tags in one request', 'TAG_INVALID'],
  TAG_INVALID: [400, 'invalid tag'],
  QUERY_INVALID: [400, 'the query is invalid', 'UNSUPPORTED'],
  ROUTE_UNKNOWN: [404, 'no such endpoint', 'UNSUPPORTED'],
  UNSUPPORTED: [405, 'the operation is unsupported'],
  BUSY: [503, 'the registry is at its limit of concurrent requests; try again', 'UNAVAILABLE'],
  // UNAVAILABLE, since docker does not retry after most other codes.
  TOO_SLOW: [408, 'the request body arrived too slowly; try again', 'UNAVAILABLE'],
  // Not HTTP, or more than the parser accepts.
  REQUEST_INVALID: [400, 'this is not a valid HTTP request', 'UNSUPPORTED'],
  EXPECTATION_UNKNOWN: [417, 'the only supported value of Expect is 100-continue', 'UNSUPPORTED'],
  REQUEST_LATE: [408, 'the request headers arrived too slowly', 'UNAVAILABLE'],
  HEADERS_TOO_LARGE: [431, 'the headers of the request are too large', 'UNSUPPORTED'],
  UNAVAILABLE: [503, 'the registry cannot reach its storage; try again'],
  UPSTREAM_UNAVAILABLE: [
    503,
    'the registry cannot reach the upstream of this repository; try again',
    'UNAVAILABLE',
  ],
  SEARCH_UNAVAILABLE: [503, 'the registry cannot reach its list of repositories; try again', 'UNAVAILABLE'],
  UNKNOWN: [500, 'unknown error; the log of the registry says more'],
} as const satisfies Record<string, FailureRow>;

type FailureRow = readonly [status: number, message: string, code?: string];

export type Failure = keyof typeof failures;

/** An entry of `errors` in an error response. */
export interface ErrorEntry {
  readonly code: string;
  readonly message: string;
  readonly detail?: unknown;
}

export interface RegistryErrorOptions extends ErrorOptions {
  readonly headers?: Readonly<Record<string, string>>;
}

const retryAfterSeconds = '5';

/** A failed request, in the terms of the protocol. The HTTP layer turns it into a response. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly failure: Failure;
  readonly status: number;
  /** For the body of the response; never anything internal. */
  readonly errors: readonly ErrorEntry[];
  /** Additional headers of the response: `Allow`, `Content-Range`, and `Retry-After` with status 503. */
  readonly headers: Readonly<Record<string, string>>;

  /**
   * @param message replaces the default; says what is wrong and what would be right
   * @param details one entry each
   */
  constructor(
    failure: Failure,
    message?: string,
    details: readonly unknown[] = [],
    options: RegistryErrorOptions = {},
  ) {
    const [status, defaultMessage, code = failure]: FailureRow = failures[failure];
    const text = message ?? defaultMessage;
    super(text, options);
    this.failure = failure;
    this.status = status;
    this.headers = { ...(status === 503 && { 'Retry-After': retryAfterSeconds }), ...options.headers };
    this.errors =
      details.length === 0
        ? [{ code, message: text }]
        : details.map((detail) => ({ code, message: text, detail }));
  }

  /** The body of the response, of type `application/json`. */
  get body(): string {
    return JSON.stringify({ errors: this.errors });
  }
}
