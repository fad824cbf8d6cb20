import type { Limits } from '../http/limits.ts';
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/*
 * What a server does with connections beside answering requests.
 */

/** Milliseconds that requests have to end after they were told to. */
const grace = 10 * 60_000;

/** The answer of each connection that is being given, or was last. */
export type LastAnswers = WeakMap<Duplex, ServerResponse>;

export function lastAnswers(server: Server): LastAnswers {
  const answers: LastAnswers = new WeakMap();
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    answers.set(socket, response);
  });
  return answers;
}

/**
 * Cuts connections that stay silent, but not while it is our turn, however long that takes: when the request is all there,
 * or bytes of it wait to be taken.
 */
export function cutSilent(server: Server, answers: LastAnswers, silence: number): void {
  server.setTimeout(silence, (socket) => {
    const answer = answers.get(socket);
    if (answer === undefined || !isOurTurn(answer)) socket.destroy();
  });
}

function isOurTurn({ req, headersSent }: ServerResponse): boolean {
  return !headersSent && (req.complete || req.readableLength > 0);
}

/**
 * Cuts connections whose clients take too little of the answers that are ready for them: those keep memory. Only time in
 * which something waits for the client counts, and none in which this process was busy.
 * @param pace the least in so many milliseconds
 */
export function cutSlowReaders(server: Server, { bytes, within }: Limits['answerPace']): void {
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

/** What is being done for requests, some of whose clients have hung up: their uploads must be finished, or thrown away. */
export class Works {
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
 * Takes no new requests, on new connections or on old ones, and lets those under way finish. Node by itself would leave
 * connections open that have not sent a whole request, and answer the next request of one that has.
 */
export function drainOnStop(server: Server, works: Works): () => Promise<void> {
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
      // The answer to a client that has hung up closes after its connection, of which nothing is to be kept then.
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
