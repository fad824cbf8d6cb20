import type { LogConfig } from '../config/log.ts';
import { formatOf, standardOutput } from './output.ts';

/** Logs a request. */
export type AccessLog = (fields: object) => void;

/**
 * The log of requests; undefined if they are not logged. Its lines look as those of the other log. They are made here, in a tenth of
 * pino's time, since a registry logs thousands a second.
 * @param buffers whether the lines of one turn of the event loop are written together, after it
 */
export function createAccessLog(config: LogConfig, buffers: boolean): AccessLog | undefined {
  const { level, formatter, fields: base, accessLog } = config;
  if (!accessLog || (level !== 'debug' && level !== 'info')) return undefined;
  const format = formatOf(formatter);
  const write = buffers ? writeEachTurn() : writeNow;
  return (fields) => {
    const time = new Date().toISOString();
    write(format(`${JSON.stringify({ level: 'info', time, ...base, ...fields, msg: 'request' })}\n`));
  };
}

function writeNow(line: string): void {
  standardOutput.write(line);
}

/** Writes the lines of a turn at once: each system call takes as long as the line. */
function writeEachTurn(): (line: string) => void {
  let lines = '';
  const flush = () => {
    if (lines !== '') standardOutput.write(lines);
    lines = '';
  };
  process.once('exit', flush);
  return (line) => {
    if (lines === '') setImmediate(flush);
    lines += line;
  };
}
