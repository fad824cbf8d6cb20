import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { all } from '../functions/all.ts';
import { createApp } from '../functions/app.ts';
import { dataPlane } from '../functions/data-plane.ts';
import { createServices } from '../functions/services.ts';
import type { Config } from '../lib/config.ts';

/** Milliseconds a connection may stay silent, within a request or between two. */
const silence = 120_000;

/** Milliseconds that requests have to end after {@link StreamingServer.stop}. */
const grace = 10 * 60_000;

/** A streaming server that is listening. */
export interface StreamingServer {
  /** `http://host:port` */
  readonly url: string;
  /** Takes no new requests, waits for those under way and resolves when the last has ended. */
  stop(): Promise<void>;
}

/**
 * Starts the streaming server: bodies of any size in both directions.
 * @param program the whole registry, or only what functions cannot do
 * @throws when the address cannot be listened at, or the storage cannot be opened
 */
export async function startServer(
  program: 'server' | 'data-plane',
  config: Config,
): Promise<StreamingServer> {
  const services = await createServices(program, config);
  const handle = createApp(program === 'server' ? all : dataPlane, services).callback();
  const server = createServer((request, response) => void handle(request, response));
  const stop = drainOnStop(server);
  // A layer may take hours: what counts is that bytes flow. Node would cut every request after five minutes.
  server.requestTimeout = 0;
  server.timeout = silence;
  server.keepAliveTimeout = silence;
  await listen(server, config.address);
  return { url: urlOf(server), stop };
}

async function listen(server: Server, address: Config['address']): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, resolve);
  });
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/**
 * Takes no new requests, on new connections or on old ones, and lets those under way finish. Node by itself would leave
 * connections open that have not sent a whole request, and answer the next request of one that has.
 */
function drainOnStop(server: Server): () => Promise<void> {
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
      closed,
      delay(grace, undefined, { signal: timer.signal, ref: false }).catch(() => undefined),
    ]);
    timer.abort();
    server.closeAllConnections();
  };
}
