import cluster from 'node:cluster';
import type { Config } from '../config/config.ts';
import type { Services } from '../http/services.ts';
import type { Telemetry } from '../telemetry.ts';
import { startDebugServer } from './debug-server.ts';

/** Metrics and traces of a server, as its settings ask for them. */
export interface Observers {
  readonly telemetry: readonly Telemetry[];
  /** Begins to show what the services do. @returns a function that ends it and exports what is left */
  watch(services: Services): Promise<() => Promise<void>>;
}

const doNothing = async () => {
  await Promise.resolve();
};

/** Loads what the settings ask for, and nothing else. */
export async function startObservers({
  debug,
  storage,
}: Pick<Config, 'debug' | 'storage'>): Promise<Observers> {
  const hasMetrics = debug?.metricsPath !== undefined;
  const metrics = hasMetrics
    ? new (await import('../metrics/prometheus.ts')).Metrics(storage.kind)
    : undefined;
  return {
    telemetry: metrics === undefined ? [] : [metrics.telemetry],
    watch: async (services) => {
      metrics?.watch(services);
      if (debug === undefined) return doNothing;
      if (cluster.isWorker) {
        if (metrics !== undefined) (await import('../metrics/workers.ts')).shareWithPrimary(metrics.registry);
        return doNothing;
      }
      const server = await startDebugServer(debug, {
        metrics: metrics && (async () => await metrics.text()),
        unready: async () => await services.readiness.unready(),
      });
      return async () => {
        await server.stop();
      };
    },
  };
}

/**
 * Starts the debug server of a primary process, with the sums of its workers.
 * @param unready the names of what is not ready
 * @returns a function that ends it
 */
export async function startPrimaryDebugServer(
  { debug }: Pick<Config, 'debug'>,
  unready: () => Promise<readonly string[]> = async () => await Promise.resolve([]),
): Promise<() => Promise<void>> {
  if (debug === undefined) return doNothing;
  const hasMetrics = debug.metricsPath !== undefined;
  const metrics = hasMetrics ? (await import('../metrics/workers.ts')).metricsOfWorkers() : undefined;
  const server = await startDebugServer(debug, { metrics, unready });
  return async () => {
    await server.stop();
  };
}
