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
    const isUnderWay = answer !== undefined && answer.headersSent && !answer.writableFinished;
    if (!socket.writable || isUnderWay) socket.destroy();
    else socket.end(rawAnswer(unreadable.get(code) ?? 'REQUEST_INVALID'));
  });
}

const unreadable: ReadonlyMap<string, Failure> = new Map([
  ['HPE_HEADER_OVERFLOW', 'HEADERS_TOO_LARGE'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'REQUEST_LATE'],
]);

/** RFC 9112, section 3.2. */
export function isWithoutHost({ httpVersion, headers }: IncomingMessage): boolean {
  return httpVersion === '1.1' && headers.host === undefined;
}

/** Answers a request that can be read but is not valid. */
export function refuse(response: ServerResponse): void {
  const { status, errors } = new RegistryError('REQUEST_INVALID');
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
