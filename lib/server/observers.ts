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
      const server = await startDebugServer(debug, {
        metrics: metrics && (async () => await metrics.text()),
        unready: async () => await Promise.resolve([]),
      });
      return async () => {
        await server.stop();
      };
    },
  };
}
