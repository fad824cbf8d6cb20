import { once } from 'node:events';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeQuery } from './escape.ts';
import { responseError, ScsError, connectionError } from './errors.ts';
import { authorization, dateHeader, type Keys, type Signable } from './signature.ts';

/** A request, without what is added each time it is sent. */
export interface ScsRequest extends Signable {
  readonly body?: Uint8Array | undefined;
  /** Milliseconds until one attempt must be answered; 10 s unless given. */
  readonly timeoutMs?: number | undefined;
  /** Codes after which the request is not sent again, though others send it again after them. */
  readonly finalCodes?: readonly string[] | undefined;
}

/** For how long a request is sent again that did not succeed: until it was often enough, and for long enough. */
export interface RetryPolicy {
  readonly attempts: number;
  /** Milliseconds. */
  readonly totalMs: number;
  /** Milliseconds from one answer to the next attempt. */
  readonly pauseMs: number;
}

export interface ConnectionOptions {
  /** Scheme, host and port, such as `http://bjcnc.scs.sohucs.com`. */
  readonly endpoint: string;
  readonly keys: Keys;
  /** At least 5 attempts over 5 s, 200 ms apart, unless given. */
  readonly retryPolicy?: RetryPolicy | undefined;
  /** Whether the server's certificate is not checked. */
  readonly skipVerify?: boolean | undefined;
  /** Of whoever waits for the answer, asked before each attempt: one that is aborted ends it, and nothing more is sent. */
  readonly signal?: (() => AbortSignal | undefined) | undefined;
}

/** As SCS's own SDK has it. */
const usualPatience: RetryPolicy = { attempts: 5, totalMs: 5_000, pauseMs: 200 };

/** Milliseconds until one attempt at a request that is little work must be answered. */
const answerWithin = 10_000;

/** And until it must be answered at all: a gateway gives up on us after 30 s. */
const answerInAll = 25_000;

/** Milliseconds a body may be silent in its middle. */
const silence = 5 * 60_000;

/** Bytes of an answer that is read whole: a listing of 1000 keys of 1024 bytes, each written as references. */
const maxDocument = 16 * 1024 ** 2;

/** Regions one attempt may be sent on to. */
const maxRedirects = 3;

/** Errors of SCS after which its own SDK sends a request again. It may not know yet what was just made elsewhere. */
const passing = ['InternalError', 'NoSuchUpload', 'NoSuchBucket'];

/** Connections to SCS: signs requests, sends them again where that may help, and follows the bucket to its region. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #agents: { readonly http: HttpAgent; readonly https: HttpsAgent };
  /** Where the bucket was last found. */
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

  /** Scheme, host and port of where the bucket was last found. */
  get origin(): string {
    return this.#origin;
  }

  /**
   * Sends a request and reads its answer, all under one deadline.
   * @throws ScsError
   */
  async exchange(request: ScsRequest): Promise<{ readonly answer: IncomingMessage; readonly body: string }> {
    return await this.#again(request, async (signal) => {
      const answer = await this.#send(request, signal);
      const body = await document(answer);
      // What takes long may have begun to answer before it failed.
      if (/^\s*(<\?xml[^>]*>\s*)?<Error[\s>]/.test(body)) throw responseError(answer, body);
      return { answer, body };
    });
  }

  /**
   * Sends a request whose answer may be large. Its body has no deadline, but must not fall silent for 5 minutes.
   * @throws ScsError
   */
  async open(request: ScsRequest): Promise<IncomingMessage> {
    const answer = await this.#again(request, async (signal) => await this.#send(request, signal));
    answer.setTimeout(silence, () =>
      answer.destroy(new ScsError('ETIMEDOUT', 'the body of an answer fell silent')),
    );
    return answer;
  }

  /** Closes idle connections. */
  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  /** Does it until it succeeds, is refused for good, or time is up. */
  async #again<T>(request: ScsRequest, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { timeoutMs } = request;
    const { attempts, totalMs, pauseMs } = this.#options.retryPolicy ?? usualPatience;
    const began = performance.now();
    const end = began + (timeoutMs === undefined ? answerInAll : timeoutMs * attempts);
    for (let count = 1; ; count++) {
      try {
        return await withTimeout(
          Math.min(timeoutMs ?? answerWithin, end - performance.now()),
          async (signal) => {
            return await attempt(this.#orGivenUp(signal));
          },
        );
      } catch (cause) {
        const error = cause instanceof ScsError ? cause : connectionError(cause);
        error.attempts = count;
        // What was found elsewhere may have moved back.
        if (error.status === undefined || error.code === 'NoSuchBucket')
          this.#origin = this.#options.endpoint;
        const isEnough = count >= attempts && performance.now() - began >= totalMs;
        if (isEnough || !mayPass(error, request) || performance.now() + pauseMs >= end) throw error;
      }
      await delay(pauseMs);
    }
  }

  #orGivenUp(signal: AbortSignal): AbortSignal {
    const givenUp = this.#options.signal?.();
    if (givenUp?.aborted === true)
      throw new ScsError('ERR_GIVEN_UP', 'the request was answered before this could be sent');
    return givenUp === undefined ? signal : AbortSignal.any([signal, givenUp]);
  }

  /** One attempt, through the regions it is sent on to. */
  async #send(request: ScsRequest, signal: AbortSignal): Promise<IncomingMessage> {
    let origin = this.#origin;
    for (let redirects = 0; ; redirects++) {
      const answer = await this.#sendTo(origin, request, signal);
      const { statusCode = 0, headers } = answer;
      if (statusCode === 307 && headers.location !== undefined) {
        answer.resume();
        if (redirects === maxRedirects)
          throw new ScsError('TooManyRedirects', 'each region names another one', { status: 307 });
        origin = originOf(headers.location, origin);
        continue;
      }
      if (![200, 204, 206].includes(statusCode)) throw responseError(answer, await document(answer));
      this.#origin = origin;
      return answer;
    }
  }

  /** Each time with a date and a signature of its own. */
  async #sendTo(origin: string, request: ScsRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { method, path, query, body } = request;
    const date = dateHeader(new Date());
    const headers = {
      ...request.headers,
      // Without it Node would send the body in chunks, even an empty one.
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
    // A request is told of errors after its answer too, when nobody waits for it; unheard they would end the process.
    outgoing.on('error', () => undefined);
    outgoing.end(body);
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    return answer;
  }
}

/** @param within milliseconds; what `attempt` has begun to read after it has resolved is not bound by them */
async function withTimeout<T>(within: number, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const deadline = new AbortController();
  const timer = setTimeout(
    () => {
      deadline.abort();
    },
    Math.max(0, within),
  );
  try {
    return await attempt(deadline.signal);
  } catch (cause) {
    if (deadline.signal.aborted) throw new ScsError('ETIMEDOUT', 'no answer in time', { cause });
    throw cause;
  } finally {
    clearTimeout(timer);
  }
}

/** Whether the same request may succeed a little later. */
function mayPass({ code, status }: ScsError, { finalCodes = [] }: ScsRequest): boolean {
  if (finalCodes.includes(code)) return false;
  // A certificate does not get better.
  if (status === undefined) return !/CERT|SIGNATURE|TLS|SSL|^EPROTO$|^ERR_/.test(code);
  return passing.includes(code) || (status >= 500 && status !== 501);
}

/** Where a redirect leads. What was asked for by https is not sent in the open. */
function originOf(location: string, from: string): string {
  const url = URL.canParse(location, from) ? new URL(location, from) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new ScsError('InvalidRedirect', 'SCS answered 307 without saying where to', { status: 307 });
  return from.startsWith('https:') ? `https://${url.host}` : url.origin;
}

/** Reads an answer that should be small. */
async function document(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    parts.push(part);
    size += part.byteLength;
    if (size > maxDocument)
      throw new ScsError('EntityTooLarge', 'an answer that never ends', { status: 200 });
  }
  return Buffer.concat(parts).toString();
}
