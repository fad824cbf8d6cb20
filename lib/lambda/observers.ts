import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { throttledWarning } from '../logging/logger.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Tracing } from '../tracing/tracing.ts';

/** How long a response waits for its spans to be sent: the instance may be frozen afterwards, or ended. */
const flushTimeoutMs = 500;

/** How long no response waits after that was too short, or the collector was down. */
const pauseMs = 60_000;

/** Metrics and traces of a function, as its settings ask for them. */
export class FunctionObservers {
  readonly telemetry: readonly Telemetry[];
  readonly #tracing: Tracing | undefined;
  #pausedUntil = 0;

  private constructor(telemetry: readonly (Telemetry | undefined)[], tracing: Tracing | undefined) {
    this.telemetry = telemetry.flatMap((one) => one ?? []);
    this.#tracing = tracing;
  }

  /** Loads what the settings ask for, and nothing else. */
  static async load(config: Pick<Config, 'cloudWatch' | 'tracing'>): Promise<FunctionObservers> {
    const { cloudWatch, tracing } = config;
    const metrics =
      cloudWatch === undefined
        ? undefined
        : (await import('./cloudwatch.ts')).cloudWatchTelemetry(cloudWatch);
    const traces = tracing && new (await import('../tracing/tracing.ts')).Tracing(tracing);
    return new FunctionObservers([metrics, traces?.telemetry], traces);
  }

  reportProblems(log: Logger): void {
    const warn = throttledWarning(log, 'traces cannot be sent; check OTEL_EXPORTER_OTLP_ENDPOINT');
    this.#tracing?.reportProblems((reason) => {
      warn({ reason });
    });
  }

  /** Sends the spans of a request, for half a second at most. Spans that are not sent then go with those of a later request. */
  async flush(): Promise<void> {
    if (this.#tracing === undefined || Date.now() < this.#pausedUntil) return;
    const isSent = await this.#tracing.flush(flushTimeoutMs);
    if (!isSent) this.#pausedUntil = Date.now() + pauseMs;
  }
}
