import { once } from 'node:events';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeQuery } from './escape.ts';
import { responseError, ScsError, connectionError } from './errors.ts';
import { authorization, dateHeader, type Keys, type Signable } from './signature.ts';

/** A request, without the headers of one attempt. */
export interface ScsRequest extends Signable {
  /** S3's name for it, such as `PutObject`. */
  readonly operation: string;
  readonly body?: Uint8Array | undefined;
  /** Timeout for one attempt. Default: 10 s. */
  readonly timeoutMs?: number | undefined;
  /** Error codes after which this request is not retried, although others are. */
  readonly finalCodes?: readonly string[] | undefined;
}

/** A request is retried until both limits, attempts and time, are reached. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly totalMs: number;
  /** From a response to the next attempt. */
  readonly pauseMs: number;
}

export interface ConnectionOptions {
  /** Scheme, host and port, such as `http://bjcnc.scs.sohucs.com`. */
  readonly endpoint: string;
  readonly keys: Keys;
  /** Default: at least 5 attempts over 5 s, 200 ms apart. */
  readonly retryPolicy?: RetryPolicy | undefined;
  /** Accepts any server certificate. */
  readonly skipVerify?: boolean | undefined;
  /** The caller's signal, read before each attempt. Once it is aborted, nothing more is sent. */
  readonly signal?: (() => AbortSignal | undefined) | undefined;
  /** Called just before each attempt and redirect, and what it returns with the status or the error. */
  readonly observe?: ((operation: string) => (end: AttemptEnd) => void) | undefined;
}

/** How an attempt ended: with the status of a response, or without one. */
interface AttemptEnd {
  readonly status?: number | undefined;
  readonly error?: unknown;
}

/** The policy of SCS's own SDK. */
const defaultRetryPolicy: RetryPolicy = { attempts: 5, totalMs: 5_000, pauseMs: 200 };

/** Timeout for one attempt. */
const attemptTimeoutMs = 10_000;

/** Timeout for all attempts: a gateway gives up after 30 s. */
const totalTimeoutMs = 25_000;

/** Timeout for a body without traffic. */
const idleTimeoutMs = 5 * 60_000;

/** Largest response in bytes read into memory: a listing of 1000 keys of 1024 bytes, each byte a reference. */
const maxDocumentBytes = 16 * 1024 ** 2;

/** Redirects of one attempt. */
const maxRedirects = 3;

/** Errors of SCS that its own SDK retries: it may not know yet what was just created elsewhere. */
const retryableCodes = ['InternalError', 'NoSuchUpload', 'NoSuchBucket'];

/** Signs requests to SCS, retries them, and follows redirects to the bucket's region. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #agents: { readonly http: HttpAgent; readonly https: HttpsAgent };
  /** Scheme, host and port where the bucket was last found. */
  #origin: string;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#origin = options.endpoint;
    const agent = { keepAlive: true, maxSockets: 256 };
    this.#agents = {
      http: new HttpAgent(agent),
      https: new HttpsAgent({ ...agent, rejectUnauthorized: options.skipVerify !== true }),
    };
  }

  get origin(): string {
    return this.#origin;
  }

  /** Sends a request and reads the response, all within one timeout. @throws ScsError */
  async exchange(
    request: ScsRequest,
  ): Promise<{ readonly response: IncomingMessage; readonly body: string }> {
    return await this.#retry(request, async (signal) => {
      const response = await this.#send(request, signal);
      const body = await readDocument(response);
      // A slow request may send its status before it fails.
      if (/^\s*(<\?xml[^>]*>\s*)?<Error[\s>]/.test(body)) throw responseError(response, body);
      return { response, body };
    });
  }

  /** Sends a request with a large response. Its body has an idle timeout of 5 minutes only. @throws ScsError */
  async open(request: ScsRequest): Promise<IncomingMessage> {
    const response = await this.#retry(request, async (signal) => await this.#send(request, signal));
    response.setTimeout(idleTimeoutMs, () =>
      response.destroy(new ScsError('ETIMEDOUT', 'the body of a response stalled')),
    );
    return response;
  }

  /** Closes idle connections. */
  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  async #retry<T>(request: ScsRequest, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { timeoutMs } = request;
    const { attempts, totalMs, pauseMs } = this.#options.retryPolicy ?? defaultRetryPolicy;
    const began = performance.now();
    const end = began + (timeoutMs === undefined ? totalTimeoutMs : timeoutMs * attempts);
    for (let count = 1; ; count++) {
      try {
        const attemptMs = Math.min(timeoutMs ?? attemptTimeoutMs, end - performance.now());
        return await abortAfter(attemptMs, async (signal) => await attempt(this.#withCaller(signal)));
      } catch (cause) {
        const error = cause instanceof ScsError ? cause : connectionError(cause);
        error.attempts = count;
        // The bucket may have moved back.
        if (error.status === undefined || error.code === 'NoSuchBucket')
          this.#origin = this.#options.endpoint;
        const isEnough = count >= attempts && performance.now() - began >= totalMs;
        if (isEnough || !isRetryable(error, request) || performance.now() + pauseMs >= end) throw error;
      }
      await delay(pauseMs);
    }
  }

  #withCaller(signal: AbortSignal): AbortSignal {
    const caller = this.#options.signal?.();
    if (caller?.aborted === true)
      throw new ScsError('ERR_ABORTED', 'the request was answered before this could be sent');
    return caller === undefined ? signal : AbortSignal.any([signal, caller]);
  }

  /** One attempt, with its redirects. */
  async #send(request: ScsRequest, signal: AbortSignal): Promise<IncomingMessage> {
    let origin = this.#origin;
    for (let redirects = 0; ; redirects++) {
      const response = await this.#observed(request, async () => await this.#sendTo(origin, request, signal));
      const { statusCode = 0, headers } = response;
      if (statusCode === 307 && headers.location !== undefined) {
        response.resume();
        if (redirects === maxRedirects)
          throw new ScsError('TooManyRedirects', 'each region redirects to another', { status: 307 });
        origin = originOf(headers.location, origin);
        continue;
      }
      if (![200, 204, 206].includes(statusCode)) throw responseError(response, await readDocument(response));
      this.#origin = origin;
      return response;
    }
  }

  async #observed({ operation }: ScsRequest, send: () => Promise<IncomingMessage>): Promise<IncomingMessage> {
    const end = this.#options.observe?.(operation);
    try {
      const response = await send();
      end?.({ status: response.statusCode });
      return response;
    } catch (error) {
      end?.({ error });
      throw error;
    }
  }

  /** Sends with a new date and signature. */
  async #sendTo(origin: string, request: ScsRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { method, path, query, body } = request;
    const date = dateHeader(new Date());
    const headers = {
      ...request.headers,
      // Without it, Node sends even an empty body in chunks.
      ...((method === 'PUT' || method === 'POST') && { 'content-length': body?.byteLength ?? 0 }),
      date,
      authorization: authorization(this.#options.keys, request, date),
    };
    const isSecure = origin.startsWith('https:');
    const outgoing = (isSecure ? httpsRequest : httpRequest)(origin, {
      agent: isSecure ? this.#agents.https : this.#agents.http,
      method,
      path: path + encodeQuery(query),
      headers,
      signal,
    });
    // Errors after the response; without a listener they would end the process.
    outgoing.on('error', () => undefined);
    outgoing.end(body);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    return response;
  }
}

/** Bounds an attempt, but not what it leaves to read after it has resolved. */
async function abortAfter<T>(ms: number, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const timeout = new AbortController();
  const timer = setTimeout(
    () => {
      timeout.abort(new ScsError('ETIMEDOUT', 'the request timed out'));
    },
    Math.max(0, ms),
  );
  try {
    return await attempt(timeout.signal);
  } catch (cause) {
    if (timeout.signal.aborted) throw new ScsError('ETIMEDOUT', 'the request timed out', { cause });
    throw cause;
  } finally {
    clearTimeout(timer);
  }
}

function isRetryable({ code, status }: ScsError, { finalCodes = [] }: ScsRequest): boolean {
  if (finalCodes.includes(code)) return false;
  // Faults of TLS and certificates are permanent.
  if (status === undefined) return !/CERT|SIGNATURE|TLS|SSL|^EPROTO$|^ERR_/.test(code);
  return retryableCodes.includes(code) || (status >= 500 && status !== 501);
}

/** The origin that a redirect leads to. A request over https stays on https. */
function originOf(location: string, from: string): string {
  const url = URL.canParse(location, from) ? new URL(location, from) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new ScsError('InvalidRedirect', 'SCS answered 307 without a valid Location', { status: 307 });
  return from.startsWith('https:') ? `https://${url.host}` : url.origin;
}

/** Reads a response that should be small. */
async function readDocument(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    parts.push(part);
    size += part.byteLength;
    if (size > maxDocumentBytes)
      throw new ScsError('EntityTooLarge', 'the response is too large', { status: 200 });
  }
  return Buffer.concat(parts).toString();
}
