import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SlowReaders } from './slow-readers.ts';

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

/** Closes connections whose clients read responses too slowly. */
export function closeSlowReaders(server: Server, readers: SlowReaders): void {
  server.on('connection', (socket: Socket) => {
    const unwatch = readers.watch({
      get sent() {
        return socket.bytesWritten - socket.writableLength;
      },
      get waiting() {
        return socket.writableLength;
      },
      cut: () => socket.destroy(),
    });
    socket.once('close', unwatch);
  });
}

/** What responses of all versions of HTTP have. */
interface AnyResponse {
  readonly headersSent: boolean;
  statusCode: number;
  on(event: 'close', listener: () => void): unknown;
}

/**
 * Gives a response that its client did not wait for the status 499, as nginx does. Node's first one, 200, would be counted and logged
 * otherwise. Call it before others listen for the end of the response.
 */
export function noteUnanswered(response: AnyResponse): void {
  response.on('close', () => {
    if (!response.headersSent) response.statusCode = 499;
  });
}
