import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { healthPath, type DebugConfig } from '../config/debug.ts';

export interface DebugServer {
  /** `http://host:port` */
  readonly url: string;
  stop(): Promise<void>;
}

interface DebugSources {
  /** All metrics in the text format of Prometheus; undefined for none. */
  readonly metrics?: (() => Promise<string>) | undefined;
  /** The names of what is unready. */
  readonly unready: () => Promise<readonly string[]>;
}

/** Scrapers and probes are few. Of the idle connections, the oldest make room for others. */
const maxConnections = 64;
const maxIdle = 32;

/** Requests are small. A connection without progress is closed. */
const timeouts = { headersTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 1_000 };
const stalledMs = 30_000;

/** The text format of Prometheus, version 0.0.4. */
const metricsType = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * Starts the debug server: metrics, and `/debug/health` as distribution answers it. It goes on while the registry drains, so that
 * the drain can be seen.
 * @throws Error that names the setting if it cannot listen
 */
export async function startDebugServer(
  { address, metricsPath }: DebugConfig,
  { metrics, unready }: DebugSources,
): Promise<DebugServer> {
  const answer = async ({ method, url = '' }: IncomingMessage): Promise<Answer> => {
    const [path] = url.split('?', 1);
    const isRead = method === 'GET' || method === 'HEAD';
    if (isRead && path === metricsPath && metrics !== undefined) return [200, metricsType, await metrics()];
    if (!isRead || path !== healthPath) return [404, 'text/plain', 'not found\n'];
    const names = await unready();
    const faults = Object.fromEntries(names.map((name) => [name, 'unready']));
    return [names.length === 0 ? 200 : 503, 'application/json', `${JSON.stringify(faults)}\n`];
  };
  const server = createServer(timeouts, (request, response) => {
    answer(request).then(
      (given) => {
        send(response, given);
      },
      (error: unknown) => {
        send(response, [500, 'text/plain', `${String(error)}\n`]);
      },
    );
  });
  server.maxConnections = maxConnections;
  server.setTimeout(stalledMs);
  limitIdle(server);
  server.listen({ ...address });
  await once(server, 'listening').catch((error: unknown) => {
    throw new Error(`${(error as Error).message}: set REGISTRY_HTTP_DEBUG_ADDR to a free host:port`, {
      cause: error,
    });
  });
  return {
    url: urlOf(server.address() as AddressInfo),
    stop: async () => {
      const closed = once(server.close(), 'close');
      server.closeAllConnections();
      await closed;
    },
  };
}

function limitIdle(server: Server): void {
  /** Oldest first. */
  const idle = new Set<Socket>();
  const add = (socket: Socket) => {
    if (socket.destroyed) return;
    idle.add(socket);
    if (idle.size <= maxIdle) return;
    const [oldest = socket] = idle;
    idle.delete(oldest);
    oldest.destroy();
  };
  server.on('connection', (socket: Socket) => {
    socket.once('close', () => idle.delete(socket));
    add(socket);
  });
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    response.once('close', () => {
      add(socket);
    });
  });
}

type Answer = readonly [status: number, type: string, body: string];

function send(response: ServerResponse, [status, type, body]: Answer): void {
  response.writeHead(status, { 'content-type': type, 'x-content-type-options': 'nosniff' }).end(body);
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
