import { StoreError } from './store.ts';

/** How one request to a bucket ended: with a status, or with an error before the headers of a response. */
export interface BucketRequestEnd {
  readonly status?: number | undefined;
  readonly error?: unknown;
}

/**
 * Called just before each request to a bucket, also for each retry and redirect. It must neither throw nor wait.
 * @param operation S3's name, such as `PutObject`, on every store
 * @returns called once, when the headers of the response are there, or with the error
 */
export type ObserveBucketRequest = (operation: string) => (end: BucketRequestEnd) => void;

export const bucketOutcomes = [
  'success',
  'not_found',
  'precondition_failed',
  'throttled',
  'client_error',
  'server_error',
  'timeout',
  'aborted',
  'connection_error',
] as const;

/** What became of a request. `not_found` and `precondition_failed` are ordinary answers, not faults. */
export type BucketOutcome = (typeof bucketOutcomes)[number];

export function outcomeOf({ status, error }: BucketRequestEnd): BucketOutcome {
  if (status !== undefined) return outcomeOfStatus(status);
  if (error === undefined) return 'success';
  const { name, code, cause } = error as ErrorFields;
  if (error instanceof StoreError) return storeOutcomes[error.name] ?? 'server_error';
  if (code === 'ETIMEDOUT' || cause?.code === 'ETIMEDOUT') return 'timeout';
  // S3's SDK gives this name to reset connections too.
  if (name === 'TimeoutError' && code !== 'ECONNRESET' && code !== 'EPIPE') return 'timeout';
  if (name === 'AbortError' || code === 'ABORT_ERR') return 'aborted';
  return 'connection_error';
}

interface ErrorFields {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly cause?: { readonly code?: unknown } | null;
}

function outcomeOfStatus(status: number): BucketOutcome {
  if (status < 400) return 'success';
  if (status === 404) return 'not_found';
  if (status === 409 || status === 412) return 'precondition_failed';
  // S3 throttles with 503.
  if (status === 429 || status === 503) return 'throttled';
  return status < 500 ? 'client_error' : 'server_error';
}

/** Of a store without statuses, such as a folder. */
const storeOutcomes: Readonly<Record<string, BucketOutcome>> = {
  ObjectNotFound: 'not_found',
  MultipartNotFound: 'not_found',
  PreconditionFailed: 'precondition_failed',
  FenceEnded: 'precondition_failed',
  InvalidKey: 'client_error',
  InvalidPart: 'client_error',
  ObjectTooLarge: 'client_error',
  RangeNotSatisfiable: 'client_error',
};
