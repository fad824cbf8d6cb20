import type { Middleware } from 'koa';
import { pino, type DestinationStream, type Logger } from 'pino';
import type { LogLevel } from './config/config.ts';
import { requestTarget } from './http/request-target.ts';

/** JSON lines on standard output, which Lambda and containers collect. */
export function createLogger(level: LogLevel): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  };
  // Synchronous, since a function is frozen after its response and would lose buffered lines.
  return pino(options, standardOutput());
}

/** Drops lines that cannot be written, so that a full disk below the log does not end the process. */
function standardOutput(): DestinationStream {
  const open = () => pino.destination({ dest: 1, sync: true }).on('error', reopen);
  const reopen = () => {
    output = open();
  };
  let output = open();
  return {
    write: (line) => {
      output.write(line);
    },
  };
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

/** Logs each request without its query, which carries authority in upload and signed URLs. */
export function logRequests(log: Logger): Middleware {
  return async ({ req, method, res }, next) => {
    const { path } = requestTarget(req);
    const start = performance.now();
    res.once('close', () => {
      const { statusCode: status, writableFinished: finished } = res;
      const milliseconds = Math.round(performance.now() - start);
      log.info({
        method,
        path,
        status,
        milliseconds,
        ...(finished ? {} : { cut: true }),
      });
    });
    await next();
  };
}
