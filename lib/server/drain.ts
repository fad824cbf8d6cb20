import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as ConnectionServer, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A response of any version of HTTP. */
export interface Writing {
  on(event: 'close', listener: () => void): unknown;
}

/** What accepts connections. */
export interface Acceptor {
  /** Emits `close` after its last connection. */
  readonly server: ConnectionServer;
  /** Tells clients of HTTP/2 to begin no more requests on their connections. */
  announceEnd(): void;
  /** Closes connections that have not got as far as a request, and those of HTTP/2 after their last one. */
  drain(): void;
  /** Closes the connections of HTTP/2. */
  closeAllConnections(): void;
}

/**
 * Ends the connections of a server without failing a request. Node alone would wait for partial requests and serve further ones
 * on open connections.
 */
export class Drain {
  readonly #server: Server;
  readonly #acceptor: Acceptor;
  /** The responses in progress on each connection. */
  readonly #connections = new Map<Socket, Set<ServerResponse>>();
  /** Requests that are not over: their work continues after a client disconnects, since an upload is completed or discarded. */
  #inFlight = 0;
  /** Called when no request is in flight. */
  #whenIdle: (() => void) | undefined;
  #isAnnounced = false;
  #isDraining = false;

  /** @param acceptor by default the server itself, of HTTP/1.1 alone */
  constructor(server: Server, acceptor: Acceptor = ofHttp1(server)) {
    this.#server = server;
    this.#acceptor = acceptor;
    server.on('connection', (socket: Socket) => {
      this.#connections.set(socket, new Set());
      socket.once('close', () => this.#connections.delete(socket));
    });
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      const responses = this.#connections.get(socket);
      responses?.add(response);
      if (this.#isAnnounced) response.shouldKeepAlive = false;
      response.on('close', () => {
        responses?.delete(response);
        this.#closeIfIdle(socket);
      });
    });
  }

  /** Requests in flight. */
  get requests(): number {
    return this.#inFlight;
  }

  /** Tracks a request until its response is sent and its work has ended. */
  add(response: Writing, work: Promise<void>): void {
    this.#inFlight++;
    let isHalfOver = false;
    const halfOver = () => {
      if (isHalfOver && --this.#inFlight === 0) this.#whenIdle?.();
      isHalfOver = true;
    };
    response.on('close', halfOver);
    work.then(halfOver, halfOver);
  }

  /** From now on each response closes its connection, which it says (`Connection: close`). New ones are still taken. */
  announce(): void {
    if (!this.#isAnnounced) this.#acceptor.announceEnd();
    this.#isAnnounced = true;
    for (const responses of this.#connections.values()) {
      // Of pipelined requests the last: those before it would take its response with them.
      const last = [...responses].at(-1);
      if (last !== undefined) last.shouldKeepAlive = false;
    }
  }

  /**
   * Takes no more connections and waits for the requests in flight, then closes all connections.
   * @returns how many requests were cut when the time was over
   */
  async end(timeoutMs: number): Promise<number> {
    this.announce();
    this.#isDraining = true;
    const closed = once(this.#acceptor.server.close(), 'close');
    this.#acceptor.drain();
    for (const socket of this.#connections.keys()) this.#closeIfIdle(socket);
    const timer = new AbortController();
    await Promise.race([
      closed.then(async () => {
        await this.#idle();
      }),
      delay(timeoutMs, undefined, { signal: timer.signal, ref: false }).catch(() => undefined),
    ]);
    timer.abort();
    const cut = this.requests;
    this.#server.closeAllConnections();
    this.#acceptor.closeAllConnections();
    return cut;
  }

  async #idle(): Promise<void> {
    if (this.#inFlight === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  #closeIfIdle(socket: Socket): void {
    if (this.#isDraining && this.#connections.get(socket)?.size === 0) socket.destroySoon();
  }
}

function ofHttp1(server: Server): Acceptor {
  const doNothing = () => undefined;
  return { server, announceEnd: doNothing, drain: doNothing, closeAllConnections: doNothing };
}
