import { Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { withTimeout } from '../concurrency/with-timeout.ts';
import { AddressRefused } from '../outbound/addresses.ts';
import { OutboundTimeout, readBody, send, type OutboundRequest } from '../outbound/send.ts';
import { errorOf } from './answers.ts';
import { RateLimit } from './rate-limit.ts';
import { UpstreamError } from './upstream.ts';

/** Attempts in all, and the delay before the second, in milliseconds. It doubles each time, and is shorter or longer by up to a half. */
const maxAttempts = 4;
const firstDelayMs = 200;

const maxRedirects = 5;

/** Bytes of a body that is read only so that its connection can be used again. */
const maxDiscarded = 16 * 1024;

/** Bytes of an error, or of the answer of a token service. */
const maxSmallBody = 64 * 1024;

/** A registry may redirect to any number of hosts, and each has idle connections of its own. */
const agentOptions = { keepAlive: true, maxFreeSockets: 16, maxTotalSockets: 256, timeout: 30_000 };

export interface ExchangeOptions {
  readonly privateAddresses: OutboundRequest['privateAddresses'];
  /** Milliseconds until the headers of a response, and between any two pieces of its body. */
  readonly timeoutMs: number;
  /**
   * Milliseconds for a whole manifest, token or page of a list, or until the bytes of a blob begin, with all attempts. The wait for the
   * end of a rate limit comes on top.
   */
  readonly deadlineMs: number;
  /** Milliseconds that a request waits for the end of a rate limit, instead of failing. */
  readonly maxWaitMs: number;
  /** Headers of each request, also to what the registry redirects to. */
  readonly headers?: (() => Readonly<Record<string, string>>) | undefined;
}

/** A request without what authorizes it. */
export interface Ask {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent to the first host alone. */
  readonly authorization?: string | undefined;
  readonly body?: Uint8Array;
  /** Whether a token service is asked, which may be on another host and has limits of its own there. */
  readonly isForToken?: boolean;
  /** What is asked for, for messages. */
  readonly what: string;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly response: IncomingMessage;
  /** Where it came from, after redirects. */
  readonly url: URL;
}

/** Requests to a registry and to what it redirects to, each attempt with the limits that the registry sets. */
export class Exchange {
  readonly #host: string;
  readonly #options: ExchangeOptions;
  readonly #limit: RateLimit;
  /** Of a token service on another host. */
  readonly #tokenLimit: RateLimit;
  readonly #agents: Readonly<Record<string, HttpAgent | HttpsAgent>> = {
    'http:': new HttpAgent(agentOptions),
    'https:': new HttpsAgent(agentOptions),
  };

  constructor({ host }: URL, options: ExchangeOptions) {
    this.#host = host;
    this.#options = options;
    this.#limit = new RateLimit(host, options.maxWaitMs);
    this.#tokenLimit = new RateLimit(`the token service of ${host}`, options.maxWaitMs);
  }

  /**
   * Repeats work that only reads, after failures that may be over soon.
   * @param work passes the signal on, which ends what takes too long
   * @throws UpstreamError of the last attempt; other errors at once
   */
  async retry<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return await this.inTime(async (signal) => {
      for (let attempt = 1; ; attempt++)
        try {
          return await work(signal);
        } catch (error) {
          if (attempt === maxAttempts || signal.aborted || !this.#mayPass(error)) throw error;
          await delay(firstDelayMs * 2 ** (attempt - 1) * (0.5 + Math.random()));
        }
    });
  }

  /**
   * Does work as long as it may take, however its bytes drip.
   * @param work passes the signal on, which ends what takes too long
   * @throws UpstreamError unavailable
   */
  async inTime<T>(work: (signal: AbortSignal) => Promise<T>, limitMs = this.#longestMs): Promise<T> {
    const end = new AbortController();
    return await withTimeout(work(end.signal), limitMs, () => {
      end.abort();
      return new UpstreamError('unavailable', `${this.#host} has not given an answer within ${limitMs} ms`);
    });
  }

  get #longestMs(): number {
    return this.#options.deadlineMs + this.#options.maxWaitMs;
  }

  #mayPass(error: unknown): boolean {
    if (!(error instanceof UpstreamError) || error.cause instanceof AddressRefused) return false;
    const { kind, retryAfterMs = 0 } = error;
    // The next attempt waits for the end of the pause, or fails with the reason.
    return (kind === 'unavailable' || kind === 'limited') && retryAfterMs <= this.#options.maxWaitMs;
  }

  /** Sends a request once. A redirect is an answer. @throws UpstreamError limited, unavailable */
  async once(
    url: URL,
    { method, headers = {}, authorization, body, isForToken = false, what, signal }: Ask,
  ): Promise<IncomingMessage> {
    const limit = this.#limitOf(url, isForToken);
    await limit?.wait(signal);
    const { privateAddresses, timeoutMs } = this.#options;
    const agent = this.#agents[url.protocol];
    const sent = {
      ...this.#options.headers?.(),
      ...headers,
      ...(authorization !== undefined && { authorization }),
    };
    const extra = { ...(body && { body }), ...(agent && { agent }), ...(signal && { signal }) };
    let response: IncomingMessage;
    try {
      response = await send(url, { method, headers: sent, timeoutMs, privateAddresses, ...extra });
    } catch (error) {
      throw notAnswered(url, what, error);
    }
    const retryAfterMs = limit?.read(response.statusCode, response.headers);
    const { statusCode: status = 0 } = response;
    if (status !== 429 && status < 500) return response;
    const error = await this.failure({ response, url }, what, retryAfterMs);
    throw limit === undefined ? new UpstreamError('unavailable', error.message) : error;
  }

  /** What a registry redirects to, such as a CDN, limits requests for one object, which is nothing for the registry to keep. */
  #limitOf({ host }: URL, isForToken: boolean): RateLimit | undefined {
    if (host === this.#host) return this.#limit;
    return isForToken ? this.#tokenLimit : undefined;
  }

  /** Sends a request once, and follows redirects without what authorizes it. @throws UpstreamError limited, unavailable */
  async following(from: URL, ask: Ask): Promise<Answer> {
    let [url, current] = [from, ask];
    for (let redirects = 0; ; redirects++) {
      const response = await this.once(url, current);
      const target = this.redirect({ response, url }, ask.what);
      if (target === undefined) return { response, url };
      discard(response);
      if (redirects === maxRedirects)
        throw new UpstreamError(
          'unavailable',
          `${this.#host} redirects without end when asked for ${ask.what}`,
        );
      url = target;
      current = { ...current, authorization: undefined };
    }
  }

  /** Where an answer redirects to; undefined if it is no redirect. @throws UpstreamError unavailable if nobody should go there */
  redirect({ response, url }: Answer, what: string): URL | undefined {
    if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0)) return undefined;
    const target = URL.parse(response.headers.location ?? '', url.href);
    const fault =
      target === null || !['http:', 'https:'].includes(target.protocol)
        ? 'to what is no URL'
        : target.protocol === 'http:' && url.protocol === 'https:'
          ? `from https to http, to ${target.host}`
          : target.username !== '' || target.password !== ''
            ? `with credentials in the URL, to ${target.host}`
            : undefined;
    if (target !== null && fault === undefined) return target;
    discard(response);
    throw new UpstreamError('unavailable', `${url.host} redirects ${String(fault)} when asked for ${what}`);
  }

  /** The error for an answer that is not what was asked for. Its body is read. */
  async failure({ response, url }: Answer, what: string, retryAfterMs?: number): Promise<UpstreamError> {
    const body = await this.smallBody(response, url, what).catch(() => Buffer.alloc(0));
    return errorOf(response, body, { host: url.host, what, retryAfterMs });
  }

  /** @throws UpstreamError unavailable if the connection breaks */
  async smallBody(response: IncomingMessage, url: URL, what: string, limit = maxSmallBody): Promise<Buffer> {
    try {
      return await readBody(response, limit);
    } catch (error) {
      throw notAnswered(url, what, error);
    }
  }
}

/** Reads a body that nobody needs, if it is short, so that its connection can be used again. */
export function discard(response: IncomingMessage): void {
  response.on('error', () => undefined);
  if (Number(response.headers['content-length'] ?? Infinity) <= maxDiscarded) response.resume();
  else response.destroy();
}

function notAnswered({ host }: URL, what: string, cause: unknown): UpstreamError {
  const { message } = cause as Error;
  const said = cause instanceof OutboundTimeout || cause instanceof AddressRefused;
  const reason = said ? message : `${host} did not answer: ${message}`;
  return new UpstreamError('unavailable', `${reason} (asked for ${what})`, { cause });
}
