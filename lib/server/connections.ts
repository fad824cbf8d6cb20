import type { Limits } from '../http/limits.ts';
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as ConnectionServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** How long requests in flight may take after a stop begins. */
const drainTimeoutMs = 10 * 60_000;

/** The current or last response of each connection. */
export type LastResponses = WeakMap<Duplex, ServerResponse>;

export function lastResponses(server: Server): LastResponses {
  const responses: LastResponses = new WeakMap();
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    responses.set(socket, response);
  });
  return responses;
}

/**
 * Closes idle connections. A connection is not idle while the server works on its request: the request is complete, or
 * bytes of it wait to be read.
 */
export function closeIdleConnections(server: Server, responses: LastResponses, idleTimeoutMs: number): void {
  server.setTimeout(idleTimeoutMs, (socket) => {
    const response = responses.get(socket);
    if (response === undefined || !isProcessing(response)) socket.destroy();
  });
}

function isProcessing({ req, headersSent }: ServerResponse): boolean {
  return !headersSent && (req.complete || req.readableLength > 0);
}

/**
 * Closes connections whose clients read responses below the minimum rate, since unread bytes stay in memory. Only time in
 * which bytes wait for the client counts, and not time in which this process was busy.
 */
export function closeSlowReaders(server: Server, { bytes, withinMs }: Limits['responseRate']): void {
  const connections = new Map<Socket, { sent: number; waitedMs: number }>();
  const intervalMs = withinMs / 8;
  let checked = performance.now();
  server.on('connection', (socket: Socket) => {
    connections.set(socket, { sent: 0, waitedMs: 0 });
    socket.once('close', () => connections.delete(socket));
  });
  const check = () => {
    const passedMs = Math.min(performance.now() - checked, intervalMs);
    checked = performance.now();
    for (const [socket, state] of connections) {
      const sent = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || sent - state.sent >= bytes) {
        state.sent = sent;
        state.waitedMs = 0;
      } else if ((state.waitedMs += passedMs) >= withinMs) socket.destroy();
    }
  };
  const timer = setInterval(check, intervalMs).unref();
  server.once('close', () => {
    clearInterval(timer);
  });
}

/** Tracks work on requests, which continues after a client disconnects: an upload is completed or discarded. */
export class InFlightWork {
  readonly #inFlight = new Set<Promise<void>>();

  add(work: Promise<void>): void {
    this.#inFlight.add(work);
    void work.finally(() => this.#inFlight.delete(work));
  }

  async ended(): Promise<void> {
    await Promise.allSettled(this.#inFlight);
  }
}

/** What accepts connections. */
export interface Acceptor {
  /** Emits `close` after its last connection. */
  readonly server: ConnectionServer;
  /** Closes connections that have not got as far as a request. */
  drain(): void;
}

/**
 * Drains the server on stop: it accepts no new requests, and those in flight finish. Node alone would wait for partial
 * requests and serve further requests on open connections.
 */
export function drainOnStop(server: Server, work: InFlightWork, listener: Acceptor): () => Promise<void> {
  const inFlight = new Map<Socket, number>();
  let stopping = false;
  const closeIfIdle = (socket: Socket) => {
    if (stopping && inFlight.get(socket) === 0) socket.destroySoon();
  };
  server.on('connection', (socket: Socket) => {
    inFlight.set(socket, 0);
    socket.once('close', () => inFlight.delete(socket));
  });
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const add = (count: number) => {
      const now = inFlight.get(socket);
      // After a disconnect, the response closes after the socket, whose entry must not come back.
      if (now !== undefined) inFlight.set(socket, now + count);
    };
    add(1);
    response.once('close', () => {
      add(-1);
      closeIfIdle(socket);
    });
  });
  return async () => {
    stopping = true;
    const closed = once(listener.server.close(), 'close');
    listener.drain();
    for (const socket of inFlight.keys()) closeIfIdle(socket);
    const timer = new AbortController();
    await Promise.race([
      closed.then(async () => {
        await work.ended();
      }),
      delay(drainTimeoutMs, undefined, { signal: timer.signal, ref: false }).catch(() => undefined),
    ]);
    timer.abort();
    server.closeAllConnections();
  };
}
