import { createServer, type ServerOptions } from 'node:http';
import { all } from '../http/all.ts';
import { createApp } from '../http/app.ts';
import { createDataPlane } from '../http/data-plane.ts';
import { createServices } from '../compose.ts';
import { usualLimits, type Limits } from '../http/limits.ts';
import {
  closeIdleConnections,
  closeSlowReaders,
  drainOnStop,
  lastResponses,
  InFlightWork,
} from './connections.ts';
import { readOnlyReason, type Config } from '../config/config.ts';
import { Listener } from './listener.ts';
import { limitPipelining } from './pipelining.ts';
import { reindexInBackground } from './background-reindex.ts';
import { startObservers } from './observers.ts';
import { RequestCheck } from './valid-requests.ts';

/** A streaming server that is listening. */
export interface StreamingServer {
  /** `http://host:port`, `https://host:port` or `unix:/path` */
  readonly url: string;
  /** Takes no new requests and waits for those in flight. */
  stop(): Promise<void>;
}

/** Starts the streaming server. @throws if it cannot listen, or the storage or the list in a file cannot be opened */
export async function startServer(
  program: 'server' | 'data-plane',
  config: Config,
  limits: Limits = usualLimits,
): Promise<StreamingServer> {
  const observers = await startObservers(config);
  const services = await createServices(program, config, limits, observers.telemetry);
  const { search, log } = services;
  if (config.readOnly) log.warn(readOnlyReason);
  // An unusable file is an invalid setting; a database may be down for a while.
  if (program === 'server' && config.search.kind === 'local') await search.backend();
  const app = program === 'server' ? createApp(all, services) : createDataPlane(services);
  const handle = app.callback();
  const work = new InFlightWork();
  const server = createServer(serverOptions(limits), (request, response) => {
    if (check.admits(request, response)) work.add(handle(request, response));
  });
  limitPipelining(server);
  const listener = new Listener(server, config, { limits, log });
  const stop = drainOnStop(server, work, listener);
  const responses = lastResponses(server);
  const check = new RequestCheck(server, responses, limits.lingerMs);
  closeIdleConnections(server, responses, limits.idleTimeoutMs);
  closeSlowReaders(server, limits.responseRate);
  const stopObservers = await observers.watch(services);
  await listener.listen().catch(async (error: unknown) => {
    // What listens keeps the process alive.
    await stopObservers();
    throw error;
  });
  const stopReindex = program === 'server' && !config.readOnly ? reindexInBackground(services) : undefined;
  return {
    url: listener.url,
    stop: async () => {
      await Promise.all([stop(), stopReindex?.()]);
      await search.close();
      await stopObservers();
    },
  };
}

function serverOptions({ headersTimeoutMs, idleTimeoutMs }: Limits): ServerOptions {
  return {
    headersTimeout: headersTimeoutMs,
    // Bytes for slow clients stay in memory.
    highWaterMark: 16 * 1024,
    connectionsCheckingInterval: Math.min(30_000, headersTimeoutMs),
    // A layer may take hours; the minimum rates apply instead.
    requestTimeout: 0,
    keepAliveTimeout: idleTimeoutMs,
    // RequestCheck rejects it in the form of the spec.
    requireHostHeader: false,
  };
}
