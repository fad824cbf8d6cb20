import { formatDuration, parseDuration } from './durations.ts';
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
const longest = 3_600_000;

/** Named as in distribution. */
export function readHealth(settings: Settings): HealthConfig {
  const prefix = 'REGISTRY_HEALTH_STORAGEDRIVER';
  const isEnabled = settings.flag(`${prefix}_ENABLED`, true);
  const intervalMs = settings.duration(`${prefix}_INTERVAL`, { min: 1_000, max: longest, fallback: 10_000 });
  const threshold = settings.number(`${prefix}_THRESHOLD`, 'failures', { min: 0, max: 1_000, fallback: 3 });
  return {
    storage: isEnabled ? { intervalMs, threshold: Math.max(1, threshold) } : undefined,
    extra: [
      ...readList(settings, 'REGISTRY_HEALTH_FILE', '[{file: /run/stop, interval: 10s}]', fileCheck),
      ...readList(
        settings,
        'REGISTRY_HEALTH_HTTP',
        '[{uri: "http://127.0.0.1:8080/", interval: 10s}]',
        httpCheck,
      ),
      ...readList(settings, 'REGISTRY_HEALTH_TCP', '[{addr: "127.0.0.1:3306", interval: 10s}]', tcpCheck),
    ],
  };
}

/** Reads the fields of an entry, and collects what is wrong with them. */
class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #read = new Set<string>();
  readonly faults: string[] = [];

  constructor(entry: object) {
    this.#values = new Map(Object.entries(entry));
  }

  take(name: string): unknown {
    this.#read.add(name);
    return this.#values.get(name);
  }

  text(name: string, isRight: (text: string) => boolean, example: string): string {
    const value = this.take(name);
    if (typeof value === 'string' && isRight(value)) return value;
    this.faults.push(`${name} must be one such as ${example}`);
    return '';
  }

  duration(name: string, fallback: string): number {
    const value = this.take(name) ?? 0;
    const milliseconds = typeof value === 'string' ? parseDuration(value) : undefined;
    // As in distribution, 0 is the default.
    if (value === 0 || milliseconds === 0) return parseDuration(fallback) ?? 0;
    if (milliseconds !== undefined && milliseconds >= 100 && milliseconds <= longest) return milliseconds;
    this.faults.push(
      `${name} must be a duration from 0.1s to ${formatDuration(longest)}, such as ${fallback}`,
    );
    return 0;
  }

  number(name: string, { min, max, fallback }: { min: number; max: number; fallback: number }): number {
    const value = this.take(name) ?? 0;
    if (value === 0) return fallback;
    if (Number.isInteger(value) && Number(value) >= min && Number(value) <= max) return Number(value);
    this.faults.push(`${name} must be a number from ${min} to ${max}`);
    return fallback;
  }

  times(): CheckTimes {
    const intervalMs = this.duration('interval', defaultInterval);
    return { intervalMs, threshold: this.number('threshold', { min: 1, max: 1_000, fallback: 1 }) };
  }

  headers(): Readonly<Record<string, readonly string[]>> {
    const value = this.take('headers') ?? {};
    const lists = Object.entries(value).map(
      ([name, texts]: [string, unknown]) => [name, [texts].flat()] as const,
    );
    const isRight = lists.every(
      ([name, texts]) =>
        /^[\w-]+$/.test(name) &&
        texts.every((text) => typeof text === 'string' && /^[\t\x20-\x7e]*$/.test(text)),
    );
    // Never repeated: they may have a password.
    if (!isRight) this.faults.push('headers must be an object of names and lists of values');
    return isRight ? (Object.fromEntries(lists) as Record<string, string[]>) : {};
  }

  /** Faults of fields that no check has. */
  finish(): void {
    for (const name of this.#values.keys())
      if (!this.#read.has(name))
        this.faults.push(`there is no ${/^\w{1,30}$/.test(name) ? name : 'such field'}`);
  }
}

function readList(
  settings: Settings,
  name: string,
  example: string,
  read: (fields: Fields) => ExtraCheck,
): ExtraCheck[] {
  const value = settings.json(name);
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'object' && entry !== null)) {
    settings.fault(`${name}: not a list of checks, such as ${example}`);
    return [];
  }
  return value.map((entry: object, index) => {
    const fields = new Fields(entry);
    const check = read(fields);
    fields.finish();
    if (fields.faults.length > 0) settings.fault(`${name}: entry ${index + 1}: ${fields.faults.join('; ')}`);
    return check;
  });
}

function fileCheck(fields: Fields): ExtraCheck {
  const file = fields.text('file', (text) => text !== '', '/run/stop');
  const { intervalMs } = fields.times();
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
    timeoutMs: fields.duration('timeout', '5s'),
    ...fields.times(),
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
    timeoutMs: fields.duration('timeout', '5s'),
    ...fields.times(),
  };
}
