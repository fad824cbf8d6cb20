import type { LogConfig } from '../config/log.ts';
import { formatOf, standardOutput } from './output.ts';

/** Milliseconds that lines wait for others, and characters that wait at most. */
const waitMs = 20;
const maxWaiting = 64 * 1024;

/** Logs a request: at least one field; those that are undefined are left out. */
export type AccessLog = (fields: object) => void;

/**
 * The log of requests; undefined if they are not logged. Its lines look as those of the other log. They are made here, in a tenth of
 * pino's time, since a registry logs thousands a second.
 * @param buffers whether lines wait a moment, to be written together
 */
export function createAccessLog(config: LogConfig, buffers: boolean): AccessLog | undefined {
  const { level, formatter, fields: base, accessLog } = config;
  if (!accessLog || (level !== 'debug' && level !== 'info')) return undefined;
  const format = formatOf(formatter);
  const write = buffers ? writeTogether() : writeNow;
  const always = Object.entries(base)
    .map(([name, value]) => `,${JSON.stringify(name)}:${JSON.stringify(value)}`)
    .join('');
  return (fields) => {
    // As text, since objects of all fields would be made just for this.
    const start = `{"level":"info","time":"${new Date().toISOString()}"${always},`;
    write(format(`${start}${JSON.stringify(fields).slice(1, -1)},"msg":"request"}\n`));
  };
}

function writeNow(line: string): void {
  standardOutput.write(line);
}

/** Each write takes as long as a line otherwise does. */
function writeTogether(): (line: string) => void {
  let lines = '';
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (lines !== '') standardOutput.write(lines);
    lines = '';
  };
  process.once('exit', flush);
  return (line) => {
    lines += line;
    if (lines.length > maxWaiting) flush();
    else timer ??= setTimeout(flush, waitMs).unref();
  };
}
