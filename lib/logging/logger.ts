import { pino, type DestinationStream, type Logger } from 'pino';
import { defaultLog, type LogConfig } from '../config/log.ts';
import { requestScope } from '../request-scope.ts';
import { formatOf, standardOutput } from './output.ts';

/**
 * Lines on standard output, which Lambda and containers collect. Those of a request have its id.
 * @param destination of a command that prints its result on standard output
 */
export function createLogger(
  { level, formatter, fields }: LogConfig = defaultLog,
  destination: DestinationStream = standardOutput,
): Logger {
  const options = {
    level,
    base: fields,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
    mixin: () => {
      const id = requestScope()?.id;
      return id === undefined ? {} : { id };
    },
  };
  const format = formatOf(formatter);
  return pino(options, {
    write: (line) => {
      destination.write(format(line));
    },
  });
}

/** The log of what fails before the settings are read. */
export function errorLogger(): Logger {
  return createLogger({ ...defaultLog, level: 'error' });
}

/** Only harmless fields: Node's parser attaches the raw packet, with Authorization, to its errors. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { message, stack, cause } = error;
  const { code } = error as NodeJS.ErrnoException;
  return { message, code, stack, ...(cause === undefined ? {} : { cause: describeError(cause) }) };
}

const warningIntervalMs = 60_000;

/** A warning that clients can trigger at will: logged at most once a minute, with the number of times since the last. */
export function throttledWarning(log: Logger, message: string, now = Date.now): (fields: object) => void {
  let [times, next] = [0, 0];
  return (fields) => {
    times++;
    if (now() < next) return;
    log.warn({ ...fields, ...(times > 1 && { times }) }, message);
    [times, next] = [0, now() + warningIntervalMs];
  };
}
