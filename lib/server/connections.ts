import type { Limits } from '../http/limits.ts';
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/*
 * How long connections live: silent and slow ones are closed, and a stop drains the rest.
 */

/** Milliseconds that requests have to finish after a stop begins. */
const grace = 10 * 60_000;

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
export function closeIdleConnections(server: Server, responses: LastResponses, silence: number): void {
  server.setTimeout(silence, (socket) => {
    const response = responses.get(socket);
    if (response === undefined || !isOurTurn(response)) socket.destroy();
  });
}

function isOurTurn({ req, headersSent }: ServerResponse): boolean {
  return !headersSent && (req.complete || req.readableLength > 0);
}

/**
 * Closes connections whose clients read responses too slowly, since unread bytes stay in memory. Only time in which bytes wait
 * for the client counts, and no time in which this process was busy.
 * @param pace the least in so many milliseconds
 */
export function closeSlowReaders(server: Server, { bytes, withinMs: within }: Limits['responseRate']): void {
  const connections = new Map<Socket, { taken: number; waited: number }>();
  const interval = within / 8;
  let looked = performance.now();
  server.on('connection', (socket: Socket) => {
    connections.set(socket, { taken: 0, waited: 0 });
    socket.once('close', () => connections.delete(socket));
  });
  const look = () => {
    const passed = Math.min(performance.now() - looked, interval);
    looked = performance.now();
    for (const [socket, state] of connections) {
      const taken = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || taken - state.taken >= bytes) {
        state.taken = taken;
        state.waited = 0;
      } else if ((state.waited += passed) >= within) socket.destroy();
    }
  };
  const timer = setInterval(look, interval).unref();
  server.once('close', () => {
    clearInterval(timer);
  });
}

/** Work on requests. It goes on after a client hangs up: an upload is finished or discarded. */
export class RequestWork {
  readonly #underWay = new Set<Promise<void>>();

  add(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  async ended(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }
}

/**
 * Drains the server: it accepts no new requests on any connection and lets those in progress finish. Node alone would keep
 * connections open that have sent part of a request, and would serve the next request of the others.
 */
export function drainOnStop(server: Server, works: RequestWork): () => Promise<void> {
  const underWay = new Map<Socket, number>();
  let stopping = false;
  const closeIfIdle = (socket: Socket) => {
    if (stopping && underWay.get(socket) === 0) socket.destroySoon();
  };
  server.on('connection', (socket: Socket) => {
    underWay.set(socket, 0);
    socket.once('close', () => underWay.delete(socket));
  });
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const add = (count: number) => {
      const now = underWay.get(socket);
      // A response closes after the connection of a client that hung up. Adding that again would leak it.
      if (now !== undefined) underWay.set(socket, now + count);
    };
    add(1);
    response.once('close', () => {
      add(-1);
      closeIfIdle(socket);
    });
  });
  return async () => {
    stopping = true;
    const closed = once(server.close(), 'close');
    for (const socket of underWay.keys()) closeIfIdle(socket);
    const timer = new AbortController();
    await Promise.race([
      closed.then(async () => {
        await works.ended();
      }),
      delay(grace, undefined, { signal: timer.signal, ref: false }).catch(() => undefined),
    ]);
    timer.abort();
    server.closeAllConnections();
  };
}
