import type { Middleware } from 'koa';
import { pino, type Logger } from 'pino';
import type { LogLevel } from './config/config.ts';
import { requestTarget } from './http/request-target.ts';

/** One JSON line an event, on standard output, which Lambda and containers collect. */
export function createLogger(level: LogLevel): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  };
  // A function is frozen once it has answered: what it has not written then is late or lost.
  return pino(options, pino.destination({ dest: 1, sync: true }));
}

/** Of an error only what is known to be harmless: Node's parser adds the packet, with its Authorization, to its own. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { message, stack, cause } = error;
  const { code } = error as NodeJS.ErrnoException;
  return { message, code, stack, ...(cause === undefined ? {} : { cause: describeError(cause) }) };
}

/** Milliseconds from one warning to the next that says the same. */
const repeatAfter = 60_000;

/**
 * A warning that whoever sends requests can call forth: it is logged at most once a minute, with how often it was due
 * since the last time.
 */
export function rareWarning(log: Logger, message: string, now = Date.now): (fields: object) => void {
  let [due, next] = [0, 0];
  return (fields) => {
    due++;
    if (now() < next) return;
    log.warn({ ...fields, ...(due > 1 && { times: due }) }, message);
    [due, next] = [0, now() + repeatAfter];
  };
}

/** A line for each request. Without its query: that of an upload or a signed URL entitles its holder. */
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
