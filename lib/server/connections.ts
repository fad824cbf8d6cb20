import type { Limits } from '../http/limits.ts';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

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
