import { readEntries, type Fields } from './entries.ts';
import type { Settings } from './settings.ts';

/** When a check that fails makes the registry unready. */
export interface CheckTimes {
  readonly intervalMs: number;
  /** Failures in a row. */
  readonly threshold: number;
}

/** A check of something beside the storage. */
export type ExtraCheck = CheckTimes &
  (
    | { readonly kind: 'file'; readonly file: string }
    | {
        readonly kind: 'http';
        readonly uri: string;
        readonly headers: Readonly<Record<string, readonly string[]>>;
        readonly statusCode: number;
        readonly timeoutMs: number;
      }
    | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly timeoutMs: number }
  );

/** What makes a registry ready, besides that it runs. */
export interface HealthConfig {
  /** Undefined: the storage is not probed. */
  readonly storage: CheckTimes | undefined;
  readonly extra: readonly ExtraCheck[];
}

const defaultInterval = '10s';

/** The least and the most of intervals and timeouts, in milliseconds. */
const durations = { min: 100, max: 3_600_000 };

/** Named as in distribution. */
export function readHealth(settings: Settings): HealthConfig {
  const prefix = 'REGISTRY_HEALTH_STORAGEDRIVER';
  const isEnabled = settings.flag(`${prefix}_ENABLED`, true);
  const intervalMs = settings.duration(`${prefix}_INTERVAL`, {
    min: 1_000,
    max: durations.max,
    fallback: 10_000,
  });
  const threshold = settings.number(`${prefix}_THRESHOLD`, 'failures', { min: 0, max: 1_000, fallback: 3 });
  return {
    storage: isEnabled ? { intervalMs, threshold: Math.max(1, threshold) } : undefined,
    extra: [
      ...readEntries(
        settings,
        'REGISTRY_HEALTH_FILE',
        checks('[{file: /run/stop, interval: 10s}]'),
        fileCheck,
      ),
      ...readEntries(
        settings,
        'REGISTRY_HEALTH_HTTP',
        checks('[{uri: "http://127.0.0.1:8080/", interval: 10s}]'),
        httpCheck,
      ),
      ...readEntries(
        settings,
        'REGISTRY_HEALTH_TCP',
        checks('[{addr: "127.0.0.1:3306", interval: 10s}]'),
        tcpCheck,
      ),
    ],
  };
}

function checks(example: string) {
  return { what: 'checks', example };
}

/** How often, and when a failure counts. */
function timesOf(fields: Fields): CheckTimes {
  const intervalMs = fields.duration('interval', defaultInterval, durations);
  return { intervalMs, threshold: fields.number('threshold', { min: 1, max: 1_000, fallback: 1 }) };
}

function fileCheck(fields: Fields): ExtraCheck {
  const file = fields.text('file', (text) => text !== '', '/run/stop');
  const { intervalMs } = timesOf(fields);
  return { kind: 'file', file, intervalMs, threshold: 1 };
}

function httpCheck(fields: Fields): ExtraCheck {
  // Credentials belong into headers.
  const isUrl = (text: string) => /^https?:\/\/[^/?#@]+(?:[/?#]|$)/i.test(text) && URL.canParse(text);
  return {
    kind: 'http',
    uri: fields.text('uri', isUrl, 'http://127.0.0.1:8080/health'),
    headers: fields.headers(),
    statusCode: fields.number('statuscode', { min: 100, max: 599, fallback: 200 }),
    timeoutMs: fields.duration('timeout', '5s', durations),
    ...timesOf(fields),
  };
}

function tcpCheck(fields: Fields): ExtraCheck {
  const form = /^(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i;
  const isAddress = (text: string) =>
    Number(form.exec(text)?.[3] ?? 0) > 0 && Number(form.exec(text)?.[3]) < 65536;
  const [, bracketed, host, port] = form.exec(fields.text('addr', isAddress, '127.0.0.1:3306')) ?? [];
  return {
    kind: 'tcp',
    host: bracketed ?? host ?? '',
    port: Number(port ?? 0),
    timeoutMs: fields.duration('timeout', '5s', durations),
    ...timesOf(fields),
  };
}
