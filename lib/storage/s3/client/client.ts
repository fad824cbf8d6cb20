import { setTimeout as delay } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import type { Connections, Method } from './connections.ts';
import { environmentCredentials, KeptCredentials } from './credentials.ts';
import { plainEndpoint, type BucketEndpoint, type BucketPlace } from './endpoint.ts';
import { openConnections, type ConnectionOptions } from './open-connections.ts';
import {
  connectionError,
  lateness,
  isUntaken,
  responseError,
  S3Error,
  type ResponseHeaders,
} from './errors.ts';
import { Exchange, type S3Response } from './exchange.ts';
import { maxAttempts, Retries } from './retries.ts';
import { Signer, type Credentials, type Signable } from './signature.ts';
import { encodeQuery, escapeKey, type Query } from './uri.ts';
import { hasRoot } from './xml.ts';

/** A request to a bucket. */
export interface S3Request {
  /** S3's name for it, such as `PutObject`. */
  readonly operation: string;
  readonly method: Method;
  /** In the bucket. Default: the bucket itself. */
  readonly key?: string;
  readonly query?: Query;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Timeout for one attempt. Default: 10 s. */
  readonly timeoutMs?: number;
  /** Most bytes of a response that is read into memory. Default: 16 MiB. */
  readonly maxBytes?: number;
  /** Signs it in the query, for a time. */
  readonly validity?: Validity | undefined;
  /** Whether it may not be sent again while an earlier attempt, whose answer was lost, may still take effect. */
  readonly once?: boolean;
  /** Bytes of a response that is not read into memory, if they are known. */
  readonly length?: number | undefined;
}

/** When the server accepts a request, by its own clock, however often and however late it is sent. */
export interface Validity {
  /** Milliseconds since 1970, in whole seconds. */
  readonly fromMs: number;
  /** Seconds. */
  readonly expiresIn: number;
  /** Sends it also when it is known to be too late, to see what the server does. */
  readonly isProbe?: boolean;
}

export interface ClientOptions extends BucketPlace, ConnectionOptions {
  /** Default: those of the environment, or else the SDK's chain. */
  readonly credentials?: Credentials | undefined;
  readonly clock: Clock;
  /** The caller's signal, read before each attempt. Once it is aborted, nothing more is sent. */
  readonly signal?: (() => AbortSignal | undefined) | undefined;
  /** Called just before each attempt, and what it returns with the status or the error. */
  readonly observe?: ((operation: string) => (end: AttemptEnd) => void) | undefined;
  /** Sees the headers of each response that is no error. */
  readonly onHeaders?: ((headers: ResponseHeaders) => void) | undefined;
}

/** How an attempt ended: with the status of a response, or without one. */
interface AttemptEnd {
  readonly status?: number | undefined;
  readonly error?: unknown;
}

/** The server's clock, as far as it is known. */
interface Clock {
  /** Milliseconds that it is ahead of the local one. */
  readonly offsetMs: number;
  /** Its time, or an earlier one; undefined while nothing is known of it. */
  readonly leastTimeMs?: number | undefined;
  /**
   * Reads the clock from a refusal.
   * @param signedOffsetMs the offset by which the refused request was signed
   * @returns whether that was wrong by minutes
   */
  correct(headers: ResponseHeaders, signedOffsetMs: number): boolean;
}

/** A response that was read into memory. */
export interface WholeResponse {
  readonly headers: ResponseHeaders;
  readonly body: Buffer;
}

/** Timeout for the response to one attempt. */
const attemptTimeoutMs = 10_000;

/** Timeout for all attempts: a gateway gives up after 30 s. */
const totalTimeoutMs = 25_000;

/** Largest document in bytes: a listing of 1000 keys of 1024 bytes, each byte a reference. */
const maxDocumentBytes = 16 * 1024 ** 2;

// eslint-disable-next-line no-restricted-syntax -- the AWS SDK's own variables, which it reads here as well
const environment = process.env;

/** A bucket that was found. */
interface Connection {
  readonly endpoint: BucketEndpoint;
  readonly host: string;
  readonly signer: Signer;
  readonly pool: Connections;
}

/** Signs requests to a bucket and sends them, several times if need be. */
export class BucketClient {
  readonly #options: ClientOptions;
  readonly #retries = new Retries();
  readonly #credentials: KeptCredentials;
  #connection: Connection | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    const own = options.credentials ?? environmentCredentials(environment);
    this.#credentials = new KeptCredentials(
      own === undefined ? lazyChain(options) : () => Promise.resolve(own),
    );
  }

  /** Sends a request and reads the response. @throws S3Error */
  async exchange(request: S3Request): Promise<WholeResponse> {
    const { headers, body } = await this.#send(request, false);
    return { headers, body: body as Buffer };
  }

  /** Sends a request with a large response. Its body has an idle timeout of 5 minutes only. @throws S3Error */
  async open(request: S3Request): Promise<{ readonly headers: ResponseHeaders; readonly body: Readable }> {
    const { headers, body } = await this.#send(request, true);
    return { headers, body: body as Readable };
  }

  /** A URL that anyone can GET an object at. @param expiresIn seconds @throws S3Error */
  async signedUrl(key: string, expiresIn: number): Promise<URL> {
    const credentials = await this.#credentials.get();
    const { endpoint, host, signer } = this.#connection ?? (await this.#connect(credentials));
    const path = `${endpoint.path}/${escapeKey(key)}`;
    const request = { method: 'GET', path, headers: { host } };
    const query = signer.signedQuery(request, credentials, this.#timeMs(), expiresIn);
    return new URL(`${endpoint.origin}${path}?${query}`);
  }

  /** Closes all connections. */
  close(): void {
    this.#connection?.pool.destroy();
    this.#connection = undefined;
  }

  async #send(request: S3Request, streams: boolean): Promise<S3Response> {
    const { timeoutMs = attemptTimeoutMs } = request;
    const endMs =
      performance.now() + (request.timeoutMs === undefined ? totalTimeoutMs : timeoutMs * maxAttempts);
    let paid: number | undefined;
    for (let attempts = 1; ; attempts++) {
      try {
        const limitMs = Math.min(timeoutMs, endMs - performance.now());
        const response = await this.#attempt(request, streams, limitMs);
        this.#retries.succeeded(paid);
        return response;
      } catch (cause) {
        const error = connectionError(cause);
        error.attempts = attempts;
        const mayRetry = request.once !== true || isUntaken(error);
        const retry = mayRetry ? this.#retries.take(error, attempts) : undefined;
        if (retry === undefined || performance.now() + retry.delayMs >= endMs) throw error;
        paid = retry.cost;
        await delay(retry.delayMs, undefined, { signal: this.#options.signal?.() });
      }
    }
  }

  async #attempt(request: S3Request, streams: boolean, timeoutMs: number): Promise<S3Response> {
    const kept = this.#credentials.get();
    const credentials = kept instanceof Promise ? await kept : kept;
    const connection = this.#connection ?? (await this.#connect(credentials));
    const { clock, onHeaders } = this.#options;
    const { offsetMs } = clock;
    const response = await this.#exchange(connection, credentials, request, streams, timeoutMs);
    const { status, headers, body } = response;
    const text = Buffer.isBuffer(body) && mayBeError(request, status) ? body.toString() : '';
    if (status >= 300) {
      const error = responseError(status, headers, text);
      const isRefusal = status === 400 || status === 401 || status === 403;
      if (request.validity === undefined)
        error.isClockCorrected = isRefusal && status !== 401 && clock.correct(headers, offsetMs);
      else if (isRefusal) error.lateness = lateness(error, request.validity);
      throw error;
    }
    // A slow request may send its status before it fails.
    if (hasRoot(text, 'Error')) throw responseError(500, headers, text);
    onHeaders?.(headers);
    return response;
  }

  /** One attempt. */
  async #exchange(
    { endpoint, host, signer, pool }: Connection,
    credentials: Credentials,
    request: S3Request,
    streams: boolean,
    timeoutMs: number,
  ): Promise<S3Response> {
    const { operation, method, key = '', body, maxBytes = maxDocumentBytes, length = Infinity } = request;
    const path = `${endpoint.path}/${escapeKey(key)}`;
    const signed = this.#sign(
      signer,
      { method, path, headers: { ...request.headers, host } },
      request,
      credentials,
    );
    const { query, headers } = signed;
    // Proxies change it.
    headers['user-agent'] = 'stowage';
    const signal = this.#options.signal?.();
    if (signal?.aborted === true)
      throw new S3Error('ABORT_ERR', 'the request was answered before this could be sent');
    const exchange = new Exchange({
      streams,
      maxBytes: method === 'HEAD' ? Infinity : maxBytes,
      timeoutMs,
      signal,
      observeEnd: this.#options.observe?.(operation),
    });
    pool.dispatch(
      {
        method,
        path: query === '' ? path : `${path}?${query}`,
        headers,
        body: body ?? null,
        streams,
        length,
      },
      exchange,
    );
    return await exchange.response;
  }

  /** The query and headers of an attempt. Those for a time are the same for each, also after the clock was corrected. */
  #sign(
    signer: Signer,
    signable: Omit<Signable, 'query'>,
    { query: parameters, body, validity }: S3Request,
    credentials: Credentials,
  ): { readonly query: string; readonly headers: Record<string, string> } {
    if (validity === undefined) {
      const query = parameters === undefined ? '' : encodeQuery(parameters);
      const headers = signer.signedHeaders({ ...signable, query }, body, credentials, this.#timeMs());
      return { query, headers };
    }
    const { fromMs, expiresIn, isProbe = false } = validity;
    const { leastTimeMs = -Infinity } = this.#options.clock;
    if (!isProbe && leastTimeMs >= fromMs + expiresIn * 1000) {
      const error = new S3Error('RequestExpired', 'the request expired before it could be sent');
      error.lateness = 'expired';
      throw error;
    }
    const query = signer.signedQuery(signable, credentials, fromMs, expiresIn, parameters);
    return { query, headers: { ...signable.headers } };
  }

  async #connect(credentials: Credentials): Promise<Connection> {
    const place = this.#options;
    const endpoint =
      plainEndpoint(place, environment) ??
      (await (await import('./aws-sdk.ts')).sdkEndpoint(place, credentials));
    const pool = await openConnections(endpoint.origin, place);
    // Another request may have been faster.
    if (this.#connection !== undefined) {
      pool.destroy();
      return this.#connection;
    }
    const { origin, scope } = endpoint;
    this.#connection = { endpoint, host: new URL(origin).host, signer: new Signer(scope), pool };
    return this.#connection;
  }

  #timeMs(): number {
    return Date.now() + this.#options.clock.offsetMs;
  }
}

function lazyChain(place: BucketPlace): () => Promise<Credentials> {
  let chain: Promise<() => Promise<Credentials>> | undefined;
  return async () => {
    chain ??= import('./aws-sdk.ts').then(({ chainOfCredentials }) => chainOfCredentials(place));
    return await (
      await chain
    )();
  };
}

/** Whether a body is an error. The content of an object may be anything. */
function mayBeError({ method }: S3Request, status: number): boolean {
  return status >= 300 || (method !== 'GET' && method !== 'HEAD');
}
