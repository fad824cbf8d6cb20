import { AsyncLocalStorage } from 'node:async_hooks';
import { Readable } from 'node:stream';
import type { Controller, ResponseHandler } from './connections.ts';
import { connectionError, S3Error, type ResponseHeaders } from './errors.ts';

/** A response. */
export interface S3Response {
  readonly status: number;
  readonly headers: ResponseHeaders;
  /** The bytes, or a stream of them if they were asked for as one and the request succeeded. */
  readonly body: Buffer | Readable;
}

export interface ExchangeOptions {
  /** Whether the body of a success is to be a stream. */
  readonly streams: boolean;
  /** Most bytes of a success that is read into memory; a longer one is not read and fails with `ResponseTooLarge`. */
  readonly maxBytes: number;
  /** Timeout for the headers, and then for a body that is read into memory. */
  readonly timeoutMs: number;
  /** The caller's. */
  readonly signal: AbortSignal | undefined;
  /** Called once, with the status or with the error that came before it. */
  readonly observeEnd: ((end: { readonly status?: number; readonly error?: unknown }) => void) | undefined;
}

/** Most bytes of an error that are read. */
const maxErrorBytes = 1024 ** 2;

/**
 * One request and its response. A class with fields instead of closures and streams, and a timer instead of signals: this
 * runs for each request to the bucket.
 */
export class Exchange implements ResponseHandler {
  readonly response: Promise<S3Response>;
  readonly #options: ExchangeOptions;
  readonly #timer: NodeJS.Timeout;
  /** A connection calls in the context of the request that opened it; a stream belongs to the request that reads it. */
  readonly #inContext: RunInContext | undefined;
  #resolve!: (response: S3Response) => void;
  #reject!: (error: Error) => void;
  #controller: Controller | undefined;
  #status = 0;
  #maxBytes: number;
  #headers: ResponseHeaders = {};
  #chunks: Buffer[] = [];
  #length = 0;
  #stream: ResponseStream | undefined;
  #isOver = false;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#maxBytes = options.maxBytes;
    this.#inContext = options.streams ? AsyncLocalStorage.snapshot() : undefined;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = setTimeout(onTimeout, options.timeoutMs, this);
    options.signal?.addEventListener('abort', this);
  }

  /** The caller's signal. */
  handleEvent(): void {
    this.abort(new S3Error('ABORT_ERR', 'the request was aborted'));
  }

  abort(error: Error): void {
    // It waits for a connection while there is no controller.
    this.#controller?.abort(error);
    this.#fail(error);
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    if (this.#isOver) controller.abort(new S3Error('ABORT_ERR', 'the request was aborted'));
  }

  onResponseStart(controller: Controller, status: number, headers: ResponseHeaders): void {
    // An informational response.
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    this.#options.observeEnd?.({ status });
    if (this.#inContext !== undefined && status < 300) {
      clearTimeout(this.#timer);
      this.#stream = new ResponseStream(controller, this.#inContext);
      this.#resolve({ status, headers, body: this.#stream });
    } else {
      this.#timer.refresh();
      if (status >= 300) this.#maxBytes = maxErrorBytes;
      if (Number(headers['content-length'] ?? 0) > this.#maxBytes) this.#refuse();
    }
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#stream !== undefined) {
      this.#stream.receive(chunk);
      return;
    }
    this.#chunks.push(chunk);
    this.#length += chunk.byteLength;
    if (this.#length > this.#maxBytes) this.#refuse();
  }

  onResponseEnd(): void {
    this.#finish();
    if (this.#stream !== undefined) this.#stream.finish();
    else {
      const [first = empty, ...rest] = this.#chunks;
      const body = rest.length === 0 ? first : Buffer.concat(this.#chunks, this.#length);
      this.#resolve({ status: this.#status, headers: this.#headers, body });
    }
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#fail(error);
  }

  #refuse(): void {
    const details = { status: this.#status, headers: this.#headers };
    this.abort(new S3Error('ResponseTooLarge', 'the response is too large', details));
  }

  #fail(cause: Error): void {
    if (this.#isOver) return;
    this.#finish();
    const error = connectionError(cause);
    if (this.#status === 0) this.#options.observeEnd?.({ error });
    this.#stream?.fail(error);
    this.#reject(error);
  }

  #finish(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this);
  }
}

type RunInContext = ReturnType<typeof AsyncLocalStorage.snapshot>;

const empty = Buffer.alloc(0);

function onTimeout(exchange: Exchange): void {
  exchange.abort(new S3Error('ETIMEDOUT', 'the request timed out'));
}

/**
 * The body of a response. It holds its connection until its end, or until it is destroyed; then the connection is closed.
 * Reads from the connection only as much as is read from it, and nothing ahead of large reads.
 */
class ResponseStream extends Readable {
  readonly #controller: Controller;
  readonly #inContext: RunInContext;
  #hasEnded = false;

  constructor(controller: Controller, inContext: RunInContext) {
    super({ highWaterMark: controller.hasLargeReads === true ? 0 : 64 * 1024 });
    this.#controller = controller;
    this.#inContext = inContext;
  }

  /** Set where the reader frees each chunk; see {@link Controller}. */
  set lendsChunks(lends: boolean) {
    this.#controller.lendsChunks = lends;
  }

  override _read(): void {
    this.#controller.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#hasEnded) this.#controller.abort(new S3Error('ABORT_ERR', 'the body was not read'));
    done(error);
  }

  receive(chunk: Buffer): void {
    const mayContinue = this.#inContext(() => this.push(chunk));
    // Whoever has got the chunk may have paused this.
    const waits = this.#controller.hasLargeReads === true && this.isPaused();
    if (!mayContinue || waits) this.#controller.pause();
  }

  finish(): void {
    this.#hasEnded = true;
    this.#inContext(() => this.push(null));
  }

  fail(error: Error): void {
    this.#hasEnded = true;
    this.#inContext(() => this.destroy(error));
  }
}
