import { once } from 'node:events';
import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { RegistryError, type Failure } from '../lib/protocol/errors.ts';

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

/** Node's own answers to what is no HTTP are not in a form that clients read. */
export function refuseUnreadable(server: Server, answers: LastAnswers): void {
  server.on('clientError', ({ code = '' }: NodeJS.ErrnoException, socket) => {
    const answer = answers.get(socket);
    const refusal = rawAnswer(unreadable.get(code) ?? 'REQUEST_INVALID');
    if (!socket.writable) socket.destroy();
    else if (answer === undefined || answer.writableFinished) socket.end(refusal);
    // What was asked before it gets its own answer first: this one would be taken for that.
    else if (answer.req.complete) answer.once('finish', () => socket.end(refusal));
    else if (answer.headersSent) socket.destroy();
    else socket.end(refusal);
  });
}

/** Node closes a connection to a method it leaves to proxies, and answers without a body to an expectation it does not know. */
export function refuseUnusual(server: Server): void {
  server.on('connect', (_, socket) => socket.end(rawAnswer('REQUEST_INVALID')));
  server.on('checkExpectation', (_, response: ServerResponse) => {
    refuse(response, 'EXPECTATION_UNKNOWN');
  });
}

const unreadable: ReadonlyMap<string, Failure> = new Map([
  ['HPE_HEADER_OVERFLOW', 'HEADERS_TOO_LARGE'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'REQUEST_LATE'],
]);

/** Whether a request is of a version that is spoken here, and names one host, which only the oldest need not (RFC 9112, section 3.2). */
export function isValid({ httpVersion, rawHeaders }: IncomingMessage): boolean {
  const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length;
  return (httpVersion === '1.1' && hosts === 1) || (httpVersion === '1.0' && hosts < 2);
}

/** Answers a request that can be read but is not valid. */
export function refuse(response: ServerResponse, failure: Failure = 'REQUEST_INVALID'): void {
  const { status, errors } = new RegistryError(failure);
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ errors }));
}

function rawAnswer(failure: Failure): string {
  const { status, errors } = new RegistryError(failure);
  const body = JSON.stringify({ errors });
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
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

/** Requests of one connection that are worked on at once. */
const together = 8;

/**
 * Lets the requests of a connection wait for each other. Clients may send the next before they have the answer to the
 * first (RFC 9112, section 9.3.2), and Node would begin with thousands of them.
 */
export class Turns {
  readonly #lines = new WeakMap<Socket, { active: number; readonly waiting: (() => void)[] }>();

  /** Does something when it is its turn; nothing at all if the connection is gone by then. */
  async during(socket: Socket, act: () => Promise<void>): Promise<void> {
    const line = this.#lines.get(socket) ?? { active: 0, waiting: [] };
    this.#lines.set(socket, line);
    if (line.active >= together) {
      socket.pause();
      await new Promise<void>((resolve) => line.waiting.push(resolve));
      if (line.waiting.length === 0) socket.resume();
    } else line.active++;
    try {
      if (!socket.destroyed) await act();
    } finally {
      const next = line.waiting.shift();
      if (next === undefined) line.active--;
      else next();
    }
  }
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
    underWay.set(socket, (underWay.get(socket) ?? 0) + 1);
    response.once('close', () => {
      underWay.set(socket, (underWay.get(socket) ?? 1) - 1);
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
