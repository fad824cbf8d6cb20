import { createServer, type ServerOptions } from 'node:http';
import { all } from '../http/all.ts';
import { createApp } from '../http/app.ts';
import { createDataPlane } from '../http/data-plane.ts';
import { createServices } from '../compose.ts';
import { shareLimits, usualLimits, type Limits } from '../http/limits.ts';
import { closeIdleConnections, closeSlowReaders, lastResponses, noteUnanswered } from './connections.ts';
import { isFurtherWorker, readOnlyReason, type Config } from '../config/config.ts';
import { deliverInBackground } from './delivery.ts';
import { Drain } from './drain.ts';
import { Http2Endpoint } from './http2/endpoint.ts';
import { Listener } from './listener.ts';
import { limitPipelining, sharePipelineLimits } from './pipelining.ts';
import { reindexInBackground } from './background-reindex.ts';
import { Observers } from './observers.ts';
import { SlowReaders } from './slow-readers.ts';
import { RequestCheck } from './valid-requests.ts';

/** A streaming server that is listening. */
export interface StreamingServer {
  /** `http://host:port`, `https://host:port` or `unix:/path` */
  readonly url: string;
  /** Requests in flight. */
  readonly requests: number;
  /** The names of what is not ready. */
  unready(): Promise<readonly string[]>;
  /** Answers `/readyz` with 503, so that proxies send their requests elsewhere, and closes connections after responses. */
  announceStop(): void;
  /** Takes no new requests and waits for those in flight, at most for `REGISTRY_HTTP_DRAINTIMEOUT`. */
  stop(): Promise<void>;
}

/** Starts the streaming server. @throws if it cannot listen, or the storage or the list in a file cannot be opened */
export async function startServer(
  program: 'server' | 'data-plane',
  config: Config,
  serverLimits: Limits = usualLimits,
): Promise<StreamingServer> {
  const workers = config.workers ?? 1;
  const limits = shareLimits(serverLimits, workers);
  const observers = await Observers.load(config);
  const services = await createServices(program, config, limits, observers.telemetry);
  const { search, log, readiness } = services;
  if (config.readOnly) log.warn(readOnlyReason);
  // An unusable file is an invalid setting; a database may be down for a while.
  if (program === 'server' && config.search.kind === 'local') await search.backend();
  const handle = program === 'server' ? createApp(all, services) : createDataPlane(services);
  const server = createServer(serverOptions(limits), (request, response) => {
    noteUnanswered(response);
    if (check.admits(request, response)) drain.add(response, handle(request, response));
  });
  const slowReaders = new SlowReaders(limits.responseRate);
  server.once('close', () => {
    slowReaders.stop();
  });
  const http2 = config.http2
    ? new Http2Endpoint({
        limits,
        workers,
        slowReaders,
        handle: async (request, response) => {
          noteUnanswered(response);
          const work = handle(request, response);
          drain.add(response, work);
          await work;
        },
      })
    : undefined;
  limitPipelining(server, sharePipelineLimits(workers));
  const listener = new Listener({ http1: server, http2 }, config, { limits, workers, log });
  const drain = new Drain(server, listener);
  const responses = lastResponses(server);
  const check = new RequestCheck(server, responses, limits.lingerMs);
  closeIdleConnections(server, responses, limits.idleTimeoutMs);
  closeSlowReaders(server, slowReaders);
  await observers.watch(services);
  await listener.listen().catch(async (error: unknown) => {
    // What listens keeps the process alive.
    await observers.stop();
    throw error;
  });
  log.level = config.log.level;
  const reindexes = program === 'server' && !config.readOnly && !isFurtherWorker(config);
  const stopReindex = reindexes ? reindexInBackground(services) : undefined;
  const stopDelivery =
    program === 'server' && services.events !== undefined
      ? await deliverInBackground(services.events, config)
      : undefined;
  const announceStop = () => {
    readiness.stop();
    drain.announce();
  };
  return {
    url: listener.url,
    get requests() {
      return drain.requests;
    },
    unready: async () => await readiness.unready(),
    announceStop,
    stop: async () => {
      announceStop();
      const [cut] = await Promise.all([drain.end(config.drainTimeoutMs), stopReindex?.()]);
      if (cut > 0) log.warn({ requests: cut }, 'the drain timeout is over: requests in flight were cut');
      services.events?.stopPulls();
      await stopDelivery?.();
      await search.close();
      await observers.stop();
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
