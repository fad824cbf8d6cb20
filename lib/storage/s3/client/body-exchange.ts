import { request as httpRequest, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import type { BodyConnection, ConnectionReader } from './body-connection.ts';
import {
  connectTimeoutMs,
  idleTimeoutMs,
  unusedTimeoutMs,
  type BodyReads,
  type Controller,
  type Dispatch,
  type LargeReads,
  type ResponseHandler,
} from './connections.ts';
import { S3Error } from './errors.ts';

/**
 * What comes over the connection now: the head of a response; nothing, until Node has read the head; bytes that are passed on as they
 * are; or a body that Node reads.
 */
type Stage = 'head' | 'parsing' | 'bytes' | 'parsed';

/** Bytes of a head at most. Node refuses fewer. */
const maxHeadBytes = 64 * 1024;

const blankLine = '\r\n\r\n';
const nothing: Buffer = Buffer.alloc(0);

/**
 * One request, and its response. Node's HTTP client writes the request and reads the head of the response. A body of known length does not
 * pass through it; any other, as that of an error, does, and closes the connection.
 */
export class BodyExchange implements Controller, ConnectionReader {
  readonly hasLargeReads = true;
  lendsChunks = false;
  readonly #connection: BodyConnection;
  readonly #handler: ResponseHandler;
  readonly #largeReads: LargeReads;
  readonly #reads: BodyReads;
  readonly #keep: (timeoutMs: number) => void;
  /** What Node takes for the connection. */
  readonly #node: Duplex;
  readonly #connectTimer: NodeJS.Timeout | undefined;
  #stage: Stage = 'head';
  /** Bytes of the head, and what came with them. */
  #start = nothing;
  #response: IncomingMessage | undefined;
  /** Bytes of the body that are still to come. */
  #remaining = 0;
  /**
   * What the body is read into. Nothing is read while it is lent: a second buffer costs more than it saves, since each read then finds fewer
   * bytes.
   */
  #buffer: Buffer | undefined;
  #isLent = false;
  #isPaused = false;
  #isOver = false;

  /** @param keep takes the connection back, after which the server may close it within a time */
  constructor(
    connection: BodyConnection,
    handler: ResponseHandler,
    largeReads: LargeReads,
    keep: (timeoutMs: number) => void,
  ) {
    this.#connection = connection;
    this.#handler = handler;
    this.#largeReads = largeReads;
    this.#reads = largeReads.start();
    this.#keep = keep;
    const { socket } = connection;
    this.#node = new Duplex({
      read: () => {
        if (this.#stage === 'parsed') this.#setPaused(false);
      },
      write: (bytes: Buffer, _encoding, done) => void socket.write(bytes, done),
    });
    if (!socket.connecting) return;
    this.#connectTimer = setTimeout(() => {
      this.onTimeout();
    }, connectTimeoutMs);
    socket.once('connect', () => {
      clearTimeout(this.#connectTimer);
    });
  }

  send({ method, path, headers, body }: Dispatch): void {
    this.#connection.use(this, idleTimeoutMs);
    const request = httpRequest({
      ...{ method, path, headers: { ...headers, connection: 'keep-alive' } },
      createConnection: () => this.#node,
    });
    request
      .on('error', (error) => {
        this.fail(error);
      })
      .on('information', () => {
        this.#continue('head');
      })
      .once('response', (response) => {
        this.#respond(response);
      });
    this.#handler.onRequestStart(this);
    request.end(body ?? undefined);
  }

  get mayRead(): boolean {
    return this.#stage !== 'parsing' && !this.#isPaused && !this.#isLent && !this.#isOver;
  }

  nextBuffer(): Buffer | undefined {
    if (this.#stage !== 'bytes' || this.#isOver) return undefined;
    const size = this.#reads.next();
    if (this.#buffer?.byteLength !== size) this.#buffer = Buffer.allocUnsafeSlow(size);
    return this.#buffer;
  }

  take(bytes: Buffer): void {
    if (this.#isOver) return;
    if (this.#stage === 'bytes') this.#takeBytes(bytes);
    else if (this.#stage === 'head') this.#takeHead(bytes);
    else if (!this.#node.push(Buffer.from(bytes))) this.#setPaused(true);
  }

  end(): void {
    if (this.#stage === 'parsed') this.#node.push(null);
    else this.fail();
  }

  fail(error: Error = new S3Error('ECONNRESET', 'the connection was closed')): void {
    if (this.#isOver) return;
    this.#finish();
    this.#connection.socket.destroy();
    this.#handler.onResponseError(this, error);
  }

  onTimeout(): void {
    this.fail(new S3Error('ETIMEDOUT', 'the connection timed out'));
  }

  abort(reason: Error): void {
    this.fail(reason);
  }

  pause(): void {
    if (this.#stage === 'parsed') this.#response?.pause();
    else this.#setPaused(true);
  }

  resume(): void {
    if (this.#stage === 'parsed') this.#response?.resume();
    else this.#setPaused(false);
  }

  #setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    if (isPaused && !this.#isOver) this.#connection.socket.pause();
    else this.#readOn();
  }

  #readOn(): void {
    if (this.mayRead) this.#connection.socket.resume();
  }

  /** Passes a head to Node, which tells what it is now or later. */
  #takeHead(bytes: Buffer): void {
    this.#start = Buffer.concat([this.#start, bytes]);
    const at = this.#start.indexOf(blankLine);
    if (at < 0) {
      if (this.#start.byteLength > maxHeadBytes) this.fail(new S3Error('EPROTO', 'the headers are too long'));
      return;
    }
    const head = this.#start.subarray(0, at + blankLine.length);
    this.#start = this.#start.subarray(head.byteLength);
    this.#stage = 'parsing';
    this.#node.push(head);
  }

  #respond(response: IncomingMessage): void {
    if (this.#isOver) return;
    this.#response = response;
    const { statusCode: status = 0, headers } = response;
    const length = headers['content-length'];
    // An error is read into memory, and may come in chunks.
    const isPlain = (status === 200 || status === 206) && headers['transfer-encoding'] === undefined;
    response.on('error', (error) => {
      this.fail(error);
    });
    this.#handler.onResponseStart(this, status, headers);
    if (isPlain && Number(length) > 0) {
      this.#remaining = Number(length);
      this.#continue('bytes');
    } else {
      this.#continue('parsed');
      response.on('data', (chunk: Buffer) => {
        this.#handler.onResponseData(this, chunk);
      });
      response.once('end', () => {
        this.#complete();
      });
    }
  }

  /** Reads on after a head, once Node's parser has returned. */
  #continue(stage: Stage): void {
    process.nextTick(() => {
      this.#stage = stage;
      const rest = this.#start;
      this.#start = nothing;
      if (rest.byteLength > 0) this.take(rest);
      this.#readOn();
    });
  }

  #takeBytes(bytes: Buffer): void {
    this.#remaining -= bytes.byteLength;
    if (this.#remaining < 0) {
      this.fail(new S3Error('EPROTO', 'the body is longer than announced'));
      return;
    }
    this.#handler.onResponseData(this, this.#chunkOf(bytes));
    if (this.#remaining === 0) this.#complete();
  }

  #chunkOf(bytes: Buffer): Buffer {
    const { buffer } = bytes;
    if (!this.lendsChunks || buffer !== this.#buffer?.buffer) return Buffer.from(bytes);
    this.#isLent = true;
    this.#largeReads.lend(bytes, () => {
      this.#isLent = false;
      this.#readOn();
      // Otherwise reads have another size now, or there are none.
      return buffer === this.#buffer?.buffer;
    });
    return bytes;
  }

  #complete(): void {
    if (this.#isOver) return;
    const { httpVersion, headers } = this.#response ?? {};
    const isKept = this.#stage === 'bytes' && httpVersion === '1.1' && headers?.connection !== 'close';
    // The server's time counts from its last byte, which may have taken a second.
    const hint = /\btimeout=(\d+)/.exec(String(headers?.['keep-alive']))?.[1];
    const timeoutMs = hint === undefined ? unusedTimeoutMs : Number(hint) * 1_000 - 1_000;
    this.#finish();
    // The connection asks for another one before its next read.
    this.#buffer = undefined;
    if (isKept && timeoutMs > 0) this.#keep(timeoutMs);
    else this.#connection.socket.destroy();
    this.#handler.onResponseEnd();
  }

  #finish(): void {
    this.#isOver = true;
    clearTimeout(this.#connectTimer);
    this.#reads.end();
    this.#node.destroy();
  }
}
