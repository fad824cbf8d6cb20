/**
 * Every way a request can fail: its code on the wire, HTTP status and default message. The codes are those of the OCI
 * Distribution Specification ("Error Codes") and, where it has none, of distribution's `errcode` registry.
 */
const failures = {
  BLOB_UNKNOWN: { code: 'BLOB_UNKNOWN', status: 404, message: 'blob unknown to this repository' },
  BLOB_UPLOAD_INVALID: { code: 'BLOB_UPLOAD_INVALID', status: 400, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: {
    code: 'BLOB_UPLOAD_UNKNOWN',
    status: 404,
    message: 'blob upload unknown: it was finished, cancelled or has expired; start another one',
  },
  // Well-formed, so that another instance is likelier to have signed it than somebody to have altered it.
  UPLOAD_STATE_FOREIGN: {
    code: 'BLOB_UPLOAD_INVALID',
    status: 400,
    message:
      'the _state of this upload was not signed with the REGISTRY_HTTP_SECRET of this instance: all must have the same; or it was altered: use the Location as sent',
  },
  DIGEST_INVALID: { code: 'DIGEST_INVALID', status: 400, message: 'digest invalid' },
  // The spec's table (end-7) answers 404 to a manifest that cannot be accepted as it is; distribution answers 400.
  MANIFEST_BLOB_UNKNOWN: {
    code: 'MANIFEST_BLOB_UNKNOWN',
    status: 404,
    message: 'manifest references a blob or manifest that is not in this repository; push that first',
  },
  MANIFEST_INVALID: { code: 'MANIFEST_INVALID', status: 400, message: 'manifest invalid' },
  MANIFEST_TOO_LARGE: { code: 'SIZE_INVALID', status: 413, message: 'manifest too large' },
  MANIFEST_UNKNOWN: { code: 'MANIFEST_UNKNOWN', status: 404, message: 'manifest unknown to this repository' },
  NAME_INVALID: { code: 'NAME_INVALID', status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { code: 'NAME_UNKNOWN', status: 404, message: 'repository name not known to registry' },
  PAGINATION_NUMBER_INVALID: {
    code: 'PAGINATION_NUMBER_INVALID',
    status: 400,
    message: 'n must be a whole number from 0',
  },
  PRECONDITION_FAILED: {
    code: 'DENIED',
    status: 412,
    message: 'what is there is not what If-Match or If-None-Match asks for; look at it again',
  },
  RANGE_INVALID: { code: 'RANGE_INVALID', status: 416, message: 'range not satisfiable' },
  SIZE_INVALID: { code: 'SIZE_INVALID', status: 400, message: 'size does not match' },
  TOO_MANY_TAGS: { code: 'TAG_INVALID', status: 414, message: 'too many tags in one request' },
  TAG_INVALID: { code: 'TAG_INVALID', status: 400, message: 'invalid tag' },
  QUERY_INVALID: { code: 'UNSUPPORTED', status: 400, message: 'the query is invalid' },
  ROUTE_UNKNOWN: { code: 'UNSUPPORTED', status: 404, message: 'no such endpoint' },
  UNSUPPORTED: { code: 'UNSUPPORTED', status: 405, message: 'the operation is unsupported' },
  BUSY: {
    code: 'UNAVAILABLE',
    status: 503,
    message: 'the registry is busy with as many requests as it can; try again',
  },
  // The codes of docker's that it does not try again after are none for this.
  TOO_SLOW: {
    code: 'UNAVAILABLE',
    status: 408,
    message: 'the body of the request came too slowly; try again',
  },
  // What is no HTTP, or more of it than is read.
  REQUEST_INVALID: { code: 'UNSUPPORTED', status: 400, message: 'this is not a valid HTTP request' },
  EXPECTATION_UNKNOWN: {
    code: 'UNSUPPORTED',
    status: 417,
    message: 'Expect takes nothing but 100-continue',
  },
  REQUEST_LATE: { code: 'UNAVAILABLE', status: 408, message: 'the headers of the request came too slowly' },
  HEADERS_TOO_LARGE: {
    code: 'UNSUPPORTED',
    status: 431,
    message: 'the headers of the request are too large',
  },
  UNAVAILABLE: {
    code: 'UNAVAILABLE',
    status: 503,
    message: 'the registry cannot reach its storage; try again',
  },
  SEARCH_UNAVAILABLE: {
    code: 'UNAVAILABLE',
    status: 503,
    message: 'the registry cannot reach its list of repositories; try again',
  },
  UNKNOWN: { code: 'UNKNOWN', status: 500, message: 'unknown error; the log of the registry says more' },
} as const satisfies Record<string, { code: string; status: number; message: string }>;

export type Failure = keyof typeof failures;

/** One entry of an error answer's `errors`. */
export interface ErrorEntry {
  readonly code: string;
  readonly message: string;
  readonly detail?: unknown;
}

export interface RegistryErrorOptions extends ErrorOptions {
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that cannot be served, in the terms of the protocol. The edge turns it into an answer. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly failure: Failure;
  readonly status: number;
  /** What the answer's body says; never anything internal. */
  readonly errors: readonly ErrorEntry[];
  /** Of the response, beside those that every error has: `Allow` and `Content-Range`. */
  readonly headers: Readonly<Record<string, string>>;

  /**
   * @param message instead of the table's, saying what is wrong and what would be right
   * @param details each makes an entry of its own
   */
  constructor(
    failure: Failure,
    message?: string,
    details: readonly unknown[] = [],
    options: RegistryErrorOptions = {},
  ) {
    const row = failures[failure];
    const text = message ?? row.message;
    super(text, options);
    this.failure = failure;
    this.status = row.status;
    this.headers = options.headers ?? {};
    this.errors =
      details.length === 0
        ? [{ code: row.code, message: text }]
        : details.map((detail) => ({ code: row.code, message: text, detail }));
  }

  /** The body of the response, of type `application/json`. */
  get body(): string {
    return JSON.stringify({ errors: this.errors });
  }
}
