import { constants, createServer, type Http2Server, type Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { clientKey } from '../../access/client-key.ts';
import type { Limits } from '../../http/limits.ts';
import { FairPlaces } from '../../concurrency/fair-places.ts';
import { share } from '../../concurrency/share.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { Reader, SlowReaders } from '../slow-readers.ts';
import { Backlog } from './backlog.ts';
import { StreamRequest, StreamResponse } from './messages.ts';
import { errorOf, refuse } from './valid-streams.ts';

/** Requests in progress on one connection. */
const maxStreams = 100;

/** Requests in progress on all connections beyond the first of each. */
const maxExtraRequests = 2_000;

/** Bytes that a client may send ahead on a stream and on a connection, enough for 100 MB/s over 10 and 40 ms. */
const streamWindow = 1024 * 1024;
const connectionWindow = 4 * 1024 * 1024;

/** Above what a request may have, so that one with too long headers gets a response. Beyond this, its stream is reset. */
const maxHeaderBytes = 32 * 1024;

/** The last possible stream: with it GOAWAY announces the end and refuses nothing yet (RFC 9113, section 6.8). */
const lastStream = 2 ** 31 - 1;

const serverOptions = {
  settings: {
    initialWindowSize: streamWindow,
    maxConcurrentStreams: maxStreams,
    maxHeaderListSize: maxHeaderBytes,
  },
  maxHeaderListPairs: 128,
  // MB of one connection, beyond which it gets no more streams.
  maxSessionMemory: 10,
  // Streams that a client may reset at once, and each second; beyond that its connection ends.
  streamResetBurst: 200,
  streamResetRate: 20,
  maxSessionInvalidFrames: 100,
  Http2ServerRequest: StreamRequest,
  Http2ServerResponse: StreamResponse,
};

/** @returns the end of the work on a request, which may come after that of its response */
export type HandleStream = (request: StreamRequest, response: StreamResponse) => Promise<void>;

export interface Http2Options {
  /** Processes that share the limits of a server. */
  readonly workers: number;
  readonly limits: Limits;
  readonly slowReaders: SlowReaders;
  readonly handle: HandleStream;
}

interface Connection {
  readonly socket: Socket;
  /** Whom its requests are counted for. */
  readonly client: string;
  readonly backlog: Backlog;
  /** Requests whose response or work has not ended. */
  requests: number;
  /** Until a first request, or while there is none. */
  timer: NodeJS.Timeout;
}

/** Speaks HTTP/2. The limits of connections of HTTP/1.1 hold for its streams. */
export class Http2Endpoint {
  readonly #server: Http2Server;
  readonly #options: Http2Options;
  readonly #connections = new Map<Http2Session, Connection>();
  /** Of requests beyond the first of each connection. */
  readonly #extraPlaces: FairPlaces;
  #isDraining = false;

  constructor(options: Http2Options) {
    this.#options = options;
    this.#extraPlaces = new FairPlaces(share(maxExtraRequests, options.workers));
    this.#server = createServer(serverOptions) as unknown as Http2Server;
    this.#server.on('request', (request: StreamRequest, response: StreamResponse) => {
      this.#onRequest(request, response, errorOf(request));
    });
    // Node's responses to these have no body.
    this.#server.on('connect', (request: StreamRequest, response: StreamResponse) => {
      this.#onRequest(request, response, new RegistryError('REQUEST_INVALID'));
    });
    this.#server.on('checkExpectation', (request: StreamRequest, response: StreamResponse) => {
      this.#onRequest(request, response, new RegistryError('EXPECTATION_UNKNOWN'));
    });
    this.#server.on('sessionError', () => undefined);
  }

  /** Takes a connection whose client speaks HTTP/2. */
  accept(socket: Socket): void {
    this.#server.once('session', (session: Http2Session) => {
      this.#begin(session, socket);
    });
    this.#server.emit('connection', socket);
  }

  /** Tells clients to begin no more requests here, and still takes those that are on their way. */
  announceEnd(): void {
    for (const session of this.#connections.keys())
      if (!session.closed && !session.destroyed) session.goaway(constants.NGHTTP2_NO_ERROR, lastStream);
  }

  /** Takes no more requests. Connections close after those in progress. */
  drain(): void {
    this.#isDraining = true;
    for (const session of this.#connections.keys()) this.#closeIfIdle(session);
  }

  closeAllConnections(): void {
    for (const { socket } of this.#connections.values()) socket.destroy();
  }

  #begin(session: Http2Session, socket: Socket): void {
    const { headersTimeoutMs } = this.#options.limits;
    const connection = {
      socket,
      client: clientKey(socket.remoteAddress),
      backlog: new Backlog(socket, this.#options.workers),
      requests: 0,
      timer: this.#endAfter(session, headersTimeoutMs),
    };
    this.#connections.set(session, connection);
    session.setLocalWindowSize(connectionWindow);
    // Its connections may be half open, for HTTP/1.1.
    socket.once('end', () => {
      session.destroy();
    });
    socket.once('close', () => {
      clearTimeout(connection.timer);
      this.#connections.delete(session);
      session.destroy();
    });
    if (this.#isDraining) this.#closeIfIdle(session);
  }

  #onRequest(request: StreamRequest, response: StreamResponse, error: RegistryError | undefined): void {
    const { stream } = request;
    const { session } = stream;
    const connection = session === undefined ? undefined : this.#connections.get(session);
    if (session === undefined || connection === undefined) return;
    if (!this.#begins(connection)) {
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    connection.backlog.watch(stream, () => request.readableLength);
    const unwatch = this.#options.slowReaders.watch(
      readerOf(response, {
        isContended: () => this.#extraPlaces.isScarce,
        destroy: () => session.destroy(),
      }),
    );
    const closed = new Promise<void>((resolve) => {
      stream.once('close', resolve);
    });
    const work = this.#respond(request, response, error);
    void closed.then(unwatch);
    void Promise.allSettled([work, closed]).then(() => {
      this.#ended(session, connection);
    });
  }

  async #respond(
    request: StreamRequest,
    response: StreamResponse,
    error: RegistryError | undefined,
  ): Promise<void> {
    const { stream } = request;
    if (error === undefined) await this.#options.handle(request, response);
    else refuse(response, error);
    if (request.complete) return;
    // A client that is still sending has some time to read the response. Some look for it only then.
    const linger = () => {
      const end = () => {
        if (!request.complete) stream.close(constants.NGHTTP2_NO_ERROR);
      };
      const timer = setTimeout(end, this.#options.limits.lingerMs).unref();
      stream.once('close', () => {
        clearTimeout(timer);
      });
    };
    if (stream.writableFinished) linger();
    else stream.once('finish', linger);
  }

  /** @returns false for a request that must be refused; never for the only one of its connection */
  #begins(connection: Connection): boolean {
    // A client that resets its streams leaves their work in progress.
    if (connection.requests >= maxStreams) return false;
    if (connection.requests > 0 && !this.#extraPlaces.take(connection.client)) return false;
    connection.requests++;
    clearTimeout(connection.timer);
    return true;
  }

  #ended(session: Http2Session, connection: Connection): void {
    connection.requests--;
    if (connection.requests > 0) this.#extraPlaces.release(connection.client);
    else if (!session.destroyed) {
      connection.timer = this.#endAfter(session, this.#options.limits.idleTimeoutMs);
      this.#closeIfIdle(session);
    }
  }

  /** While draining, Node closes a connection after its last stream. */
  #closeIfIdle(session: Http2Session): void {
    if (!this.#isDraining) return;
    session.close();
    const connection = this.#connections.get(session);
    if (connection?.requests === 0) this.#destroySoon(connection.socket);
  }

  #endAfter(session: Http2Session, timeoutMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      const connection = this.#connections.get(session);
      session.close();
      if (connection !== undefined) this.#destroySoon(connection.socket);
    }, timeoutMs).unref();
  }

  /** A client that does not close its side keeps the connection no longer than this. */
  #destroySoon(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), this.#options.limits.lingerMs).unref();
    socket.once('close', () => {
      clearTimeout(timer);
    });
  }
}

interface ReaderOptions {
  /** Whether other requests need the place of this one. */
  readonly isContended: () => boolean;
  /** Ends the connection, where a stream cannot be closed since nothing is sent any more. */
  readonly destroy: () => void;
}

function readerOf(response: StreamResponse, { isContended, destroy }: ReaderOptions): Reader {
  const { stream } = response;
  let isCut = false;
  return {
    get sent() {
      return response.taken - stream.writableLength;
    },
    get waiting() {
      return stream.writableLength;
    },
    // One that has ended holds its place for nothing but its client.
    get isUrgent() {
      return response.writableEnded && isContended();
    },
    cut: () => {
      if (isCut) destroy();
      else stream.close(constants.NGHTTP2_CANCEL);
      isCut = true;
    },
  };
}
