import cluster from 'node:cluster';
import type { Config } from '../config/config.ts';
import type { Services } from '../http/services.ts';
import { throttledWarning } from '../logging/logger.ts';
import type { Metrics } from '../metrics/prometheus.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Tracing } from '../tracing/tracing.ts';
import { startDebugServer } from './debug-server.ts';

/** Metrics and traces of a server, as its settings ask for them. */
export class Observers {
  readonly #config: Pick<Config, 'debug'>;
  readonly #metrics: Metrics | undefined;
  readonly #tracing: Tracing | undefined;
  #stopDebugServer = doNothing;

  private constructor(
    config: Pick<Config, 'debug'>,
    metrics: Metrics | undefined,
    tracing: Tracing | undefined,
  ) {
    this.#config = config;
    this.#metrics = metrics;
    this.#tracing = tracing;
  }

  /** Loads what the settings ask for, and nothing else. */
  static async load(config: Pick<Config, 'debug' | 'storage' | 'tracing'>): Promise<Observers> {
    const { debug, storage, tracing } = config;
    return new Observers(
      config,
      debug?.metricsPath === undefined
        ? undefined
        : new (await import('../metrics/prometheus.ts')).Metrics(storage.kind),
      tracing === undefined ? undefined : new (await import('../tracing/tracing.ts')).Tracing(tracing),
    );
  }

  /** What the parts of the server report to. */
  get telemetry(): readonly Telemetry[] {
    return [this.#metrics, this.#tracing].flatMap((one) => one?.telemetry ?? []);
  }

  /** Begins to show what the services do. A worker leaves the debug server to its primary process. */
  async watch(services: Services): Promise<void> {
    this.#metrics?.watch(services);
    const warn = throttledWarning(services.log, 'traces cannot be sent; check OTEL_EXPORTER_OTLP_ENDPOINT');
    this.#tracing?.reportProblems((reason) => {
      warn({ reason });
    });
    if (!cluster.isWorker)
      this.#stopDebugServer = await startDebug(
        this.#config,
        this.#metrics && (async () => await this.#text()),
        async () => await services.readiness.unready(),
      );
    else if (this.#metrics !== undefined)
      (await import('../metrics/workers.ts')).shareWithPrimary(this.#metrics.registry);
  }

  /** Ends the debug server and sends the last traces. */
  async stop(): Promise<void> {
    await Promise.all([this.#stopDebugServer(), this.#tracing?.stop()]);
  }

  async #text(): Promise<string> {
    return (await this.#metrics?.text()) ?? '';
  }
}

async function doNothing(): Promise<void> {
  await Promise.resolve();
}

/** @returns a function that ends it */
async function startDebug(
  { debug }: Pick<Config, 'debug'>,
  metrics: (() => Promise<string>) | undefined,
  unready: () => Promise<readonly string[]>,
): Promise<() => Promise<void>> {
  if (debug === undefined) return doNothing;
  const server = await startDebugServer(debug, { metrics, unready });
  return async () => {
    await server.stop();
  };
}

/**
 * Starts the debug server of a primary process, with the sums of its workers.
 * @param unready the names of what is not ready
 * @returns a function that ends it
 */
export async function startPrimaryDebugServer(
  config: Pick<Config, 'debug'>,
  unready: () => Promise<readonly string[]>,
): Promise<() => Promise<void>> {
  const hasMetrics = config.debug?.metricsPath !== undefined;
  const metrics = hasMetrics ? (await import('../metrics/workers.ts')).metricsOfWorkers() : undefined;
  return await startDebug(config, metrics, unready);
}
