import type { Settings } from './settings.ts';

/** Traces are sent by OTLP, to the address that the exporter reads from `OTEL_EXPORTER_OTLP_…` itself. */
export interface TracingConfig {
  readonly sampler: Sampler;
  /** The share of traces that is kept, for the samplers by ratio. */
  readonly ratio: number;
}

const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

type Sampler = (typeof samplers)[number];

/**
 * Whether to trace, by the standard variables of OpenTelemetry; undefined if not. They are often set for all programs of a machine,
 * so what is not supported is a warning and no fault.
 */
export function readTracing(settings: Settings): TracingConfig | undefined {
  const text = (name: string) => settings.text(name)?.toLowerCase();
  const exporter = text('OTEL_TRACES_EXPORTER');
  const endpoint = text('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? text('OTEL_EXPORTER_OTLP_ENDPOINT');
  if (text('OTEL_SDK_DISABLED') === 'true' || exporter === 'none') return undefined;
  if (endpoint === undefined && exporter === undefined) return undefined;
  if (exporter !== undefined && exporter !== 'otlp') {
    settings.warn('OTEL_TRACES_EXPORTER: no traces are sent, since only otlp and none are supported');
    return undefined;
  }
  const protocol = text('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ?? text('OTEL_EXPORTER_OTLP_PROTOCOL');
  if (protocol !== undefined && protocol !== 'http/protobuf') {
    settings.warn(
      'OTEL_EXPORTER_OTLP_PROTOCOL: no traces are sent, since only http/protobuf is supported; set it, and an endpoint for HTTP, whose port usually is 4318',
    );
    return undefined;
  }
  return readSampler(settings);
}

function readSampler(settings: Settings): TracingConfig {
  const fallback = 'parentbased_always_on';
  const name = settings.text('OTEL_TRACES_SAMPLER')?.toLowerCase() ?? fallback;
  const sampler = samplers.find((one) => one === name);
  if (sampler === undefined)
    settings.warn(`OTEL_TRACES_SAMPLER: all traces are sent, since it is not one of ${samplers.join(', ')}`);
  const ratio = Number(settings.text('OTEL_TRACES_SAMPLER_ARG') ?? 1);
  const isRatio = ratio >= 0 && ratio <= 1;
  if (!isRatio)
    settings.warn('OTEL_TRACES_SAMPLER_ARG: all traces are sent, since it is not a number from 0 to 1');
  return { sampler: sampler ?? fallback, ratio: isRatio ? ratio : 1 };
}
