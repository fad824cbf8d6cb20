import {
  constants,
  Http2ServerRequest,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { ReadableOptions } from 'node:stream';

/*
 * Node's requests and responses of HTTP/2, with what the application relies on in those of HTTP/1.1.
 */

export class StreamRequest extends Http2ServerRequest {
  /** Whether the whole body has arrived here. */
  #hasEnded = false;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    options: ReadableOptions,
    rawHeaders: readonly string[],
  ) {
    super(stream, headers, options, rawHeaders);
    if (headers[':authority'] !== undefined) headers.host ??= headers[':authority'];
    this.on('error', () => undefined);
  }

  static {
    // Node's types declare it as a property, which a class cannot override with an accessor.
    Object.defineProperty(this.prototype, 'complete', {
      get(this: StreamRequest): boolean {
        const isOver = Reflect.get<Http2ServerRequest, 'complete'>(
          Http2ServerRequest.prototype,
          'complete',
          this,
        );
        return this.#hasEnded || this.stream.endAfterHeaders || isOver;
      },
    });
  }

  /** A request that a client breaks off must not look complete. Node ends it as if it were. */
  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk !== null) return super.push(chunk, encoding);
    if (this.aborted && !this.#hasEnded) {
      this.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
      return false;
    }
    this.#hasEnded = true;
    return super.push(null);
  }
}

const { write: writeTo } = Http2ServerResponse.prototype as unknown as {
  write: (this: Http2ServerResponse, ...args: unknown[]) => unknown;
};

export class StreamResponse extends Http2ServerResponse<StreamRequest> {
  /** The connection stays open for other streams. */
  shouldKeepAlive = true;
  #taken = 0;

  static {
    const socket = Object.getOwnPropertyDescriptor(Http2ServerResponse.prototype, 'socket');
    Object.defineProperty(this.prototype, 'socket', {
      get(this: StreamResponse): unknown {
        // Node ends the stream of a HEAD at once, which the application would take for a client that has disconnected.
        return this.req.method === 'HEAD' && !this.stream.destroyed ? undefined : socket?.get?.call(this);
      },
    });
    Object.defineProperty(this.prototype, 'destroyed', {
      get(this: StreamResponse): boolean {
        return this.stream.destroyed;
      },
    });
    Object.defineProperty(this.prototype, 'writableFinished', {
      get(this: StreamResponse): boolean {
        // Node ends the stream when its client resets it.
        return this.writableEnded && this.stream.writableFinished;
      },
    });
  }

  /** Bytes of the body that were handed to Node. */
  get taken(): number {
    return this.#taken;
  }

  override write(chunk: string | Uint8Array, ...rest: never[]): boolean {
    this.#taken += Buffer.byteLength(chunk);
    return writeTo.call(this, chunk, ...rest) as boolean;
  }

  /** Cuts the response. The client must not take it for complete. */
  override destroy(error?: Error): this {
    this.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    this.stream.destroy(error);
    return this;
  }
}
