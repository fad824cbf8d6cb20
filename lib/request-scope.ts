import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { Route } from './protocol/routes.ts';

/** The client that a request came from, as far as it is known. */
export interface Client {
  /** Its address without a port. Undefined only for a Unix socket. */
  readonly address: string | undefined;
  /** The scheme that it used, if a proxy names it. */
  readonly protocol: 'http' | 'https' | undefined;
  /** The host that it asked, if a trusted proxy names it. */
  readonly host: string | undefined;
  /** The id that a gateway or trusted proxy has given the request. */
  readonly requestId: string | undefined;
}

/** What is known of the HTTP request that is being handled, for its log line, its metrics and its trace. */
export interface RequestScope {
  readonly id: string;
  /** `performance.now()` at the start. */
  readonly startMs: number;
  /** The HTTP method as sent. */
  readonly method: string;
  readonly client: Client;
  /** Who has passed it on, as the header `CDN-Loop` says (RFC 8586); empty if nobody has. */
  readonly cdnLoop: string;
  /** Undefined until its path is parsed, and if there is no such endpoint. */
  route: Route | undefined;
  /** Who sent it; undefined until that is known, and for anonymous callers. */
  actor: string | undefined;
  /** The code of the error that was answered. */
  code: string | undefined;
  /** Requests to the bucket that it made, with retries. */
  bucketRequests: number;
  /** Bytes of its body that were read. */
  bytesReceived: number;
  /** Bytes of the response's body that were sent. */
  bytesSent: number;
}

const current = new AsyncLocalStorage<RequestScope>();

export function createScope(method: string, client: Client, cdnLoop = ''): RequestScope {
  return {
    id: client.requestId ?? randomUUID(),
    startMs: performance.now(),
    method,
    client,
    cdnLoop,
    route: undefined,
    actor: undefined,
    code: undefined,
    bucketRequests: 0,
    bytesReceived: 0,
    bytesSent: 0,
  };
}

/** The scope of the request that the caller works for; undefined in background work. */
export function requestScope(): RequestScope | undefined {
  return current.getStore();
}

/** Records what has become known of the current request. */
export function noteRequest(known: Partial<Pick<RequestScope, 'actor' | 'code'>>): void {
  const scope = current.getStore();
  if (scope !== undefined) Object.assign(scope, known);
}

/** Counts bytes of the response's body that are handed to Node. */
export function countSent(bytes: number): void {
  const scope = current.getStore();
  if (scope !== undefined) scope.bytesSent += bytes;
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
