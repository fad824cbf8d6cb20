import { createServer, type Server, type ServerOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import { all } from '../http/all.ts';
import { createApp } from '../http/app.ts';
import { dataPlane } from '../http/data-plane.ts';
import { createServices } from '../compose.ts';
import { usualLimits, type Limits } from '../http/limits.ts';
import {
  closeIdleConnections,
  closeSlowReaders,
  drainOnStop,
  lastResponses,
  RequestWork,
} from './connections.ts';
import { readOnlyReason, type Config } from '../config/config.ts';
import { limitPipelining } from './pipelining.ts';
import { reindexInBackground } from './background-reindex.ts';
import { RequestCheck } from './valid-requests.ts';

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
 * @param limits of what a client may cost
 * @throws when the address cannot be listened at, or the storage or a file of repositories cannot be opened
 */
export async function startServer(
  program: 'server' | 'data-plane',
  config: Config,
  limits: Limits = usualLimits,
): Promise<StreamingServer> {
  const services = await createServices(program, config, limits);
  const { search, log } = services;
  if (config.readOnly) log.warn(readOnlyReason);
  // A file that cannot be used is a wrong setting; a database may only be out of reach for a while.
  if (program === 'server' && config.search.kind === 'local') await search.backend();
  const handle = createApp(program === 'server' ? all : dataPlane, services).callback();
  const works = new RequestWork();
  const server = createServer(timeLimits(limits), (request, response) => {
    if (check.admits(request, response)) works.add(handle(request, response));
  });
  limitPipelining(server);
  const stop = drainOnStop(server, works);
  const responses = lastResponses(server);
  const check = new RequestCheck(server, responses, limits.lingerMs);
  closeIdleConnections(server, responses, limits.idleTimeoutMs);
  closeSlowReaders(server, limits.responseRate);
  await listen(server, config.address);
  const giveUp = program === 'server' && !config.readOnly ? reindexInBackground(services) : undefined;
  return {
    url: urlOf(server),
    stop: async () => {
      await Promise.all([stop(), giveUp?.()]);
      await search.close();
    },
  };
}

function timeLimits({ headersTimeoutMs, idleTimeoutMs }: Limits): ServerOptions {
  return {
    headersTimeout: headersTimeoutMs,
    // What is written to a client that reads slowly stays in memory.
    highWaterMark: 16 * 1024,
    connectionsCheckingInterval: Math.min(30_000, headersTimeoutMs),
    // A layer may take hours: what counts is that bytes flow. Node would cut every request after five minutes.
    requestTimeout: 0,
    keepAliveTimeout: idleTimeoutMs,
    // Node would refuse what has none in a form that clients do not read.
    requireHostHeader: false,
  };
}

async function listen(server: Server, address: Config['address']): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // As many as the system lets wait: those beyond try again after seconds.
    server.listen({ ...address, backlog: 4096 }, resolve);
  });
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
