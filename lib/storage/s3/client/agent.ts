import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import {
  connectTimeoutMs,
  idleTimeoutMs,
  maxConnections,
  unusedTimeoutMs,
  type Connections,
} from './connections.ts';
import { S3Error } from './errors.ts';

/**
 * Connections of Node itself. A request takes longer than by undici, and the first ones 30 ms less of a processor: each new process
 * compiles undici's parser, which is WebAssembly, twice.
 * @param skipVerify accepts any certificate
 */
export function openAgent(origin: string, skipVerify: boolean): Connections {
  const { protocol, hostname, port } = new URL(origin);
  const isEncrypted = protocol === 'https:';
  const options = { keepAlive: true, maxSockets: maxConnections, timeout: unusedTimeoutMs };
  const agent = isEncrypted
    ? new HttpsAgent({ ...options, rejectUnauthorized: !skipVerify })
    : new HttpAgent(options);
  const place = { agent, host: hostname.replace(/^\[|\]$/g, ''), port, timeout: idleTimeoutMs };
  const send = isEncrypted ? httpsRequest : httpRequest;
  return {
    dispatch: ({ method, path, headers, body }, handler) => {
      const request = send({ ...place, method, path, headers });
      let response: IncomingMessage | undefined;
      const controller = {
        abort: (reason: Error) => request.destroy(reason),
        pause: () => response?.pause(),
        resume: () => response?.resume(),
      };
      const fail = (error: Error) => {
        handler.onResponseError(controller, error);
      };
      request.once('socket', (socket: TLSSocket) => {
        if (!socket.connecting) return;
        const timer = setTimeout(() => request.destroy(timedOut()), connectTimeoutMs);
        const stop = () => {
          clearTimeout(timer);
        };
        socket.once(isEncrypted ? 'secureConnect' : 'connect', stop);
        request.once('close', stop);
      });
      request.once('timeout', () => request.destroy(timedOut()));
      request.on('error', fail);
      request.once('response', (received) => {
        response = received;
        received.on('error', fail);
        handler.onResponseStart(controller, received.statusCode ?? 0, received.headers);
        received.on('data', (chunk: Buffer) => {
          handler.onResponseData(controller, chunk);
        });
        const end = () => {
          handler.onResponseEnd();
        };
        // Swift sends a body with some, after which Node finds no valid response in the connection.
        if (method === 'HEAD') end();
        else received.once('end', end);
      });
      handler.onRequestStart(controller);
      request.end(body ?? undefined);
    },
    destroy: () => {
      agent.destroy();
    },
  };
}

function timedOut(): S3Error {
  return new S3Error('ETIMEDOUT', 'the connection timed out');
}
