import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { share } from '../concurrency/share.ts';
import { freeBuffer } from '../storage/free-buffer.ts';
import { BodyEnd } from './body-end.ts';

/*
 * Pipelining (RFC 9112, section 9.3.2): a client may send requests without waiting for responses. Node's parser starts
 * every request in its input, even on a paused socket, and keeps all of them in memory. So a connection's bytes are passed
 * to it one request at a time while few are in flight.
 */

export interface PipelineLimits {
  /** Requests in flight per connection. */
  readonly perConnection: number;
  /** Requests in flight on all connections beyond the first of each. */
  readonly extraRequests: number;
  /** Bytes that all connections may buffer; a connection that exceeds it is closed. */
  readonly bufferedBytes: number;
}

export const pipelineLimits: PipelineLimits = {
  perConnection: 8,
  extraRequests: 256,
  bufferedBytes: 8 * 1024 * 1024,
};

/** The part that each of some workers has of the limits of a server. */
export function sharePipelineLimits(workers: number): PipelineLimits {
  const { perConnection, extraRequests, bufferedBytes } = pipelineLimits;
  return {
    perConnection,
    extraRequests: share(extraRequests, workers),
    bufferedBytes: share(bufferedBytes, workers),
  };
}

export function limitPipelining(server: Server, limits = pipelineLimits): void {
  const connections = new WeakMap<Socket, PipelinedConnection>();
  const total: Totals = { extraRequests: 0, bufferedBytes: 0, limits };
  server.on('connection', (socket: Socket) => {
    connections.set(socket, new PipelinedConnection(socket, total));
  });
  const count = (request: IncomingMessage, response: ServerResponse) =>
    connections.get(request.socket)?.onRequest(request, response);
  server.prependListener('request', count);
  server.prependListener('checkExpectation', count);
  // Drops the rest of an invalid packet, which could cause further errors.
  server.prependListener('clientError', (_, socket) => {
    if (socket instanceof Socket) connections.get(socket)?.drop();
  });
  server.prependListener('connect', ({ socket }: IncomingMessage) => connections.get(socket)?.detach());
}

/** Of all connections of a server. */
interface Totals {
  extraRequests: number;
  bufferedBytes: number;
  readonly limits: PipelineLimits;
}

type BytesListener = (bytes: Buffer) => void;

/** The end of a request's headers. */
const blankLine = Buffer.from('\r\n\r\n');

const nothing: Buffer = Buffer.alloc(0);

class PipelinedConnection {
  readonly #socket: Socket;
  readonly #total: Totals;
  /** Node's parser. */
  readonly #parse: BytesListener;
  readonly #pause: () => Socket;
  /** Requests whose responses are not complete. */
  #inFlight = 0;
  #last: IncomingMessage | undefined;
  /** Of the last request. */
  #body: BodyEnd | undefined;
  #buffered = nothing;
  /** The last bytes of incomplete headers, which may contain the start of the blank line. */
  #headersTail = nothing;
  /** Whether the HTTP server has paused the socket: a body is not read, or responses wait for the client. */
  #isPaused = false;
  #isParsing = false;
  #isDetached = false;

  constructor(socket: Socket, total: Totals) {
    this.#socket = socket;
    this.#total = total;
    // The HTTP server's listener. Without it, Node does not bypass the stream and read the handle itself.
    const [parse] = socket.listeners('data') as BytesListener[];
    if (parse === undefined) throw new Error('the HTTP server has no data listener');
    this.#parse = parse;
    socket.removeListener('data', parse);
    socket.on('data', (bytes: Buffer) => {
      this.#take(bytes);
    });
    this.#pause = socket.pause.bind(socket);
    socket.pause = () => {
      this.#isPaused = true;
      return this.#pause();
    };
    const resume = socket.resume.bind(socket);
    socket.resume = () => {
      this.#isPaused = false;
      this.#feedParser();
      return this.#buffered.byteLength > 0 ? socket : resume();
    };
    socket.once('close', () => {
      this.#setBuffered(nothing);
    });
  }

  onRequest(request: IncomingMessage, response: ServerResponse): void {
    this.#last = request;
    this.#body = new BodyEnd(request);
    if (this.#inFlight++ > 0) this.#total.extraRequests++;
    response.on('close', () => {
      if (--this.#inFlight > 0) this.#total.extraRequests--;
      if (!this.#isPaused) this.#socket.resume();
    });
  }

  /** After CONNECT, Node reuses this connection's parser for another one, so it must get no more bytes. */
  detach(): void {
    this.#isDetached = true;
    this.drop();
  }

  /** Discards buffered bytes. */
  drop(): void {
    this.#setBuffered(nothing);
  }

  #take(bytes: Buffer): void {
    if (this.#isDetached) return;
    this.#setBuffered(this.#buffered.byteLength === 0 ? bytes : Buffer.concat([this.#buffered, bytes]));
    this.#feedParser();
    if (this.#buffered.byteLength === 0) return;
    this.#pause();
    if (this.#total.bufferedBytes <= this.#total.limits.bufferedBytes) return;
    // Not on `close`, which comes later: thousands may be closed in one turn.
    this.drop();
    this.#socket.destroy();
  }

  #feedParser(): void {
    if (this.#isParsing || this.#buffered.byteLength === 0) return;
    this.#isParsing = true;
    while (this.#buffered.byteLength > 0 && !this.#isDetached && this.#mayContinue()) {
      const buffered = this.#buffered;
      const body = this.#body?.isOver === false ? this.#body : undefined;
      const next = body === undefined ? this.#takeHeaders() : body.take(buffered);
      const isAll = next === buffered.byteLength;
      // Nearly always, and each slice is an object.
      this.#setBuffered(isAll ? nothing : buffered.subarray(next));
      this.#parse.call(this.#socket, isAll ? buffered : buffered.subarray(0, next));
      // The parser copies what it passes on of a body.
      if (body !== undefined && isAll) freeBuffer(buffered);
    }
    this.#isParsing = false;
  }

  /** @returns how many of the buffered bytes belong to the next request's headers */
  #takeHeaders(): number {
    const [tail, buffered, { byteLength }] = [this.#headersTail, this.#buffered, blankLine];
    const lineEnds = tail.byteLength === 0 ? leadingLineEnds(buffered) : 0;
    if (lineEnds > 0) return lineEnds;
    const seam =
      tail.byteLength === 0 ? -1 : Buffer.concat([tail, buffered.subarray(0, byteLength)]).indexOf(blankLine);
    const at = seam < 0 ? buffered.indexOf(blankLine) : seam - tail.byteLength;
    const isComplete = seam >= 0 || at >= 0;
    const tailStart = 1 - byteLength;
    this.#headersTail = isComplete
      ? nothing
      : Buffer.concat([tail, buffered.subarray(tailStart)]).subarray(tailStart);
    return isComplete ? at + byteLength : buffered.byteLength;
  }

  /** Whether another request may start or the body of the last one continues. */
  #mayContinue(): boolean {
    const { extraRequests, limits } = this.#total;
    if (this.#isPaused || this.#socket.destroyed) return false;
    return (
      this.#inFlight === 0 ||
      this.#last?.complete === false ||
      (this.#inFlight < limits.perConnection && extraRequests < limits.extraRequests)
    );
  }

  #setBuffered(bytes: Buffer): void {
    this.#total.bufferedBytes += sizeInMemory(bytes) - sizeInMemory(this.#buffered);
    this.#buffered = bytes;
  }
}

/** Ignored before a request (RFC 9112, section 2.2). */
function leadingLineEnds(bytes: Buffer): number {
  let count = 0;
  while (bytes[count] === 13 || bytes[count] === 10) count++;
  return count;
}

/** A slice keeps its whole buffer in memory. */
function sizeInMemory({ buffer, byteLength }: Buffer): number {
  return byteLength === 0 ? 0 : buffer.byteLength;
}
