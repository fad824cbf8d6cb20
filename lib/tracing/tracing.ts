import { diag, DiagLogLevel, type DiagLogger } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
  type Resource,
} from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import manifest from '../../package.json' with { type: 'json' };
import { withTimeout } from '../concurrency/with-timeout.ts';
import type { TracingConfig } from '../config/tracing.ts';
import type { Telemetry } from '../telemetry.ts';
import { createSampler } from './sampler.ts';
import { spansOf } from './spans.ts';

/** Spans that wait to be sent. Those beyond are dropped, so that a collector that is down costs neither memory nor time. */
const queuedSpans = 2_048;

/** How long one export may take, and the last one as the process ends. */
const exportTimeoutMs = 5_000;
const stopTimeoutMs = 2_000;

/** Sends one span for each request, and one for each of its requests to the bucket. */
export class Tracing {
  readonly telemetry: Telemetry;
  readonly #provider: TracerProvider;
  #warn: (reason: string) => void = () => undefined;

  constructor(config: TracingConfig) {
    const exporter = new OTLPTraceExporter({ timeoutMillis: exportTimeoutMs });
    const processor = new BatchSpanProcessor({
      exporter,
      maxQueueSize: queuedSpans,
      exportTimeoutMillis: exportTimeoutMs,
    });
    this.#provider = new TracerProvider({
      resource: resource(),
      sampler: createSampler(config),
      spanProcessors: [processor],
    });
    this.telemetry = spansOf(this.#provider.getTracer('stowage', manifest.version));
  }

  /** @param warn called if spans cannot be sent; for all of a process */
  reportProblems(warn: (reason: string) => void): void {
    this.#warn = warn;
    const report = (message: string) => {
      warn(reasonIn(message));
    };
    const silent = () => undefined;
    const logger: DiagLogger = { error: report, warn: report, info: silent, debug: silent, verbose: silent };
    diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  }

  /** Sends what waits. Resolves after `timeoutMs` at the latest. @returns whether it was sent */
  async flush(timeoutMs: number): Promise<boolean> {
    return await this.#bounded(this.#provider.forceFlush(), timeoutMs);
  }

  /** Sends what waits and ends. */
  async stop(): Promise<void> {
    await this.#bounded(this.#provider.shutdown(), stopTimeoutMs);
  }

  async #bounded(work: Promise<void>, timeoutMs: number): Promise<boolean> {
    try {
      await withTimeout(work, timeoutMs, () => new Error(`no answer in ${timeoutMs / 1000} s`));
      return true;
    } catch (error) {
      this.#warn(error instanceof Error ? error.message : String(error));
      return false;
    }
  }
}

/** What sends the spans: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come before our own name. */
function resource(): Resource {
  const own = resourceFromAttributes({ 'service.name': 'stowage', 'service.version': manifest.version });
  const detectors = [resourceAttributesEnvDetector, serviceNameEnvDetector];
  return defaultResource().merge(own).merge(detectResources({ detectors }));
}

/** Errors come as JSON with a stack. */
function reasonIn(message: string): string {
  try {
    const { message: text, code } = JSON.parse(message) as { message?: string; code?: string };
    return [text, code]
      .filter((part) => part !== undefined && part !== '')
      .join(' ')
      .slice(0, 200);
  } catch {
    return message.slice(0, 200);
  }
}
