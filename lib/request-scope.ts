import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { Route } from './protocol/routes.ts';

/** What is known of the HTTP request that is being handled, for its log line, its metrics and its trace. */
export interface RequestScope {
  readonly id: string;
  /** `performance.now()` at the start. */
  readonly startMs: number;
  /** The HTTP method as sent. */
  readonly method: string;
  /** Undefined until its path is parsed, and if there is no such endpoint. */
  route: Route | undefined;
  /** Requests to the bucket that it made, with retries. */
  bucketRequests: number;
  /** Bytes of its body that were read. */
  bytesReceived: number;
  /** Bytes of the response's body that were sent. */
  bytesSent: number;
}

const current = new AsyncLocalStorage<RequestScope>();

export function createScope(method: string, id: string = randomUUID()): RequestScope {
  return {
    id,
    startMs: performance.now(),
    method,
    route: undefined,
    bucketRequests: 0,
    bytesReceived: 0,
    bytesSent: 0,
  };
}

/** The scope of the request that the caller works for; undefined in background work. */
export function requestScope(): RequestScope | undefined {
  return current.getStore();
}

/** Counts a request to the bucket for the current scope. See `ObserveBucketRequest`. */
export function countBucketRequest(): () => void {
  const scope = current.getStore();
  if (scope !== undefined) scope.bucketRequests++;
  return doNothing;
}

const doNothing = () => undefined;

/** Handles a request: {@link requestScope} is its scope in all that `work` calls. */
export async function inScope<T>(scope: RequestScope, work: () => Promise<T>): Promise<T> {
  return await current.run(scope, work);
}
