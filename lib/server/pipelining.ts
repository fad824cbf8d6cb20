import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { BodyEnd } from './body-end.ts';

/*
 * Pipelining (RFC 9112, section 9.3.2): a client may send requests without waiting for responses. Node's parser begins with
 * every request in the bytes it is given and keeps all of them in memory, and a paused socket does not hold it back. So a
 * connection's bytes are handed to it one request at a time, as long as few are unanswered.
 */

export interface PipelineLimits {
  /** Requests of one connection that are worked on at once. */
  readonly perConnection: number;
  /** Requests of all connections together beyond the first of each. */
  readonly beyondFirst: number;
  /** Bytes in memory that all connections together may have sent ahead; a connection that sends more is closed. */
  readonly heldBytes: number;
}

export const pipelineLimits: PipelineLimits = {
  perConnection: 8,
  beyondFirst: 256,
  heldBytes: 8 * 1024 * 1024,
};

/** Holds the connections of a server to the limits. */
export function limitPipelining(server: Server, limits = pipelineLimits): void {
  const connections = new WeakMap<Socket, PipelinedConnection>();
  const total: Totals = { beyondFirst: 0, heldBytes: 0, limits };
  server.on('connection', (socket: Socket) => {
    connections.set(socket, new PipelinedConnection(socket, total));
  });
  const count = (request: IncomingMessage, response: ServerResponse) =>
    connections.get(request.socket)?.began(request, response);
  server.prependListener('request', count);
  server.prependListener('checkExpectation', count);
  // Else each of the requests that the rest of a packet seems to have would be an error of its own.
  server.prependListener('clientError', (_, socket) => {
    if (socket instanceof Socket) connections.get(socket)?.drop();
  });
  server.prependListener('connect', ({ socket }: IncomingMessage) => connections.get(socket)?.detach());
}

/** Over all connections of a server. */
interface Totals {
  beyondFirst: number;
  heldBytes: number;
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
  /** Requests that have begun and whose responses have not been handed to the network yet. */
  #unanswered = 0;
  #last: IncomingMessage | undefined;
  /** Of the last one, whose headers end what the parser was given when it began. */
  #body: BodyEnd | undefined;
  #held = nothing;
  /** What the parser was given last of headers that are not all there, as far as their end may have begun in it. */
  #before = nothing;
  /** Whether the HTTP server wants no bytes: a body is not read, or too many responses wait for the client. */
  #isPaused = false;
  #isParsing = false;
  #isDetached = false;

  constructor(socket: Socket, total: Totals) {
    this.#socket = socket;
    this.#total = total;
    // The HTTP server's own listener; with another one in its place it does not read past it either.
    const [parse] = socket.listeners('data') as BytesListener[];
    if (parse === undefined) throw new Error('the HTTP server does not listen to its connection');
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
      this.#go();
      return this.#held.byteLength > 0 ? socket : resume();
    };
    socket.once('close', () => {
      this.#hold(nothing);
    });
  }

  /** A request of this connection has begun. */
  began(request: IncomingMessage, response: ServerResponse): void {
    this.#last = request;
    this.#body = new BodyEnd(request);
    if (this.#unanswered++ > 0) this.#total.beyondFirst++;
    response.once('close', () => {
      if (--this.#unanswered > 0) this.#total.beyondFirst--;
      // What is held goes on, and then what comes.
      if (!this.#isPaused) this.#socket.resume();
    });
  }

  /** Node's parser has left this connection and is given to another one: bytes from here would be taken for bytes from there. */
  detach(): void {
    this.#isDetached = true;
    this.drop();
  }

  /** What came is no HTTP: nor is the rest. */
  drop(): void {
    this.#hold(nothing);
  }

  #take(bytes: Buffer): void {
    if (this.#isDetached) return;
    this.#hold(this.#held.byteLength === 0 ? bytes : Buffer.concat([this.#held, bytes]));
    this.#go();
    if (this.#held.byteLength === 0) return;
    this.#pause();
    if (this.#total.heldBytes <= this.#total.limits.heldBytes) return;
    // At once: thousands may be closed before the first of them says so.
    this.drop();
    this.#socket.destroy();
  }

  /** Hands on what may be, one request at a time. */
  #go(): void {
    if (this.#isParsing || this.#held.byteLength === 0) return;
    this.#isParsing = true;
    while (this.#held.byteLength > 0 && !this.#isDetached && this.#mayBegin()) {
      const next = this.#body?.isOver === false ? this.#body.take(this.#held) : this.#takeHeaders();
      const bytes = this.#held.subarray(0, next);
      this.#hold(this.#held.subarray(next));
      this.#parse.call(this.#socket, bytes);
    }
    this.#isParsing = false;
  }

  /** @returns how many of the bytes held are of the next request's headers */
  #takeHeaders(): number {
    const [before, held, { byteLength }] = [this.#before, this.#held, blankLine];
    const blank = before.byteLength === 0 ? blanksOf(held) : 0;
    if (blank > 0) return blank;
    const seam =
      before.byteLength === 0 ? -1 : Buffer.concat([before, held.subarray(0, byteLength)]).indexOf(blankLine);
    const at = seam < 0 ? held.indexOf(blankLine) : seam - before.byteLength;
    const isWhole = seam >= 0 || at >= 0;
    const most = 1 - byteLength;
    this.#before = isWhole ? nothing : Buffer.concat([before, held.subarray(most)]).subarray(most);
    return isWhole ? at + byteLength : held.byteLength;
  }

  /** Whether another request may begin. The body of one that has must go on. */
  #mayBegin(): boolean {
    const { beyondFirst, limits } = this.#total;
    if (this.#isPaused || this.#socket.destroyed) return false;
    return (
      this.#unanswered === 0 ||
      this.#last?.complete === false ||
      (this.#unanswered < limits.perConnection && beyondFirst < limits.beyondFirst)
    );
  }

  #hold(bytes: Buffer): void {
    this.#total.heldBytes += sizeInMemory(bytes) - sizeInMemory(this.#held);
    this.#held = bytes;
  }
}

/** Line ends before a request, which mean nothing (RFC 9112, section 2.2). */
function blanksOf(bytes: Buffer): number {
  const first = bytes.findIndex((byte) => byte !== 13 && byte !== 10);
  return first < 0 ? bytes.byteLength : first;
}

/** What is left of a piece keeps all of it in memory. */
function sizeInMemory({ buffer, byteLength }: Buffer): number {
  return byteLength === 0 ? 0 : buffer.byteLength;
}
