import { quoted, type Settings } from './settings.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof levels)[number];

/** What is logged, and how. */
export interface LogConfig {
  readonly level: LogLevel;
  readonly formatter: 'json' | 'text';
  /** In every line. */
  readonly fields: Readonly<Record<string, string>>;
  /** Whether each request is logged. */
  readonly accessLog: boolean;
}

export const defaultLog: LogConfig = { level: 'info', formatter: 'json', fields: {}, accessLog: true };

/** Fields that lines have themselves. */
const taken: ReadonlySet<string> = new Set([
  ...['level', 'time', 'msg', 'err', 'id', 'audit', 'rule', 'address', 'agent', 'actor', 'method', 'path'],
  ...['repository', 'status', 'code', 'milliseconds', 'received', 'sent', 'bucketRequests', 'cut', 'times'],
]);

/** Named as in distribution. */
export function readLog(settings: Settings): LogConfig {
  return {
    level: settings.choice('REGISTRY_LOG_LEVEL', levels, defaultLog.level),
    formatter: readFormatter(settings),
    fields: readFields(settings),
    accessLog: !settings.flag('REGISTRY_LOG_ACCESSLOG_DISABLED', !defaultLog.accessLog),
  };
}

function readFormatter(settings: Settings): LogConfig['formatter'] {
  const name = 'REGISTRY_LOG_FORMATTER';
  if (settings.text(name)?.toLowerCase() !== 'logstash')
    return settings.choice(name, ['json', 'text'], defaultLog.formatter);
  settings.fault(
    `${name}: logstash is not supported; set json, which Logstash reads with its codec json_lines`,
  );
  return defaultLog.formatter;
}

function readFields(settings: Settings): LogConfig['fields'] {
  const name = 'REGISTRY_LOG_FIELDS';
  const value = settings.json(name);
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    settings.fault(`${name}: not an object of names and values, such as {"environment":"staging"}`);
    return {};
  }
  return Object.fromEntries(
    Object.entries(value).flatMap(([field, content]: [string, unknown]) => {
      const isWord = ['string', 'number', 'boolean'].includes(typeof content);
      if (!isWord) settings.fault(`${name}: ${quoted(field)} has a value that is no text`);
      if (taken.has(field))
        settings.fault(`${name}: ${quoted(field)} is a field of the log itself; rename it`);
      return isWord && !taken.has(field) ? [[field, String(content)]] : [];
    }),
  );
}
