import './require-node.ts';
import type { Context } from 'aws-lambda';
import type { Logger } from 'pino';
import { ConfigError, readOnlyReason, type Config } from '../config/config.ts';
import type { OnDamaged } from '../storage/store.ts';
import { damageLog } from '../damage-log.ts';
import { createLogger, errorLogger } from '../logging/logger.ts';
import { loadSettings } from './settings.ts';

/** What an invocation is about. */
export interface Invocation {
  /** As whoever invoked the function has sent it, unchecked. */
  readonly event: unknown;
  /** Milliseconds until Lambda ends the invocation. */
  readonly remainingMs: () => number;
}

/** A job that is invoked without a request, such as on a schedule. */
export interface Job<Parts extends object> {
  /** For the log, such as `purge-uploads`. */
  readonly name: string;
  readonly start: (config: Config, onDamaged: OnDamaged) => Promise<Parts>;
  readonly run: (parts: Parts, log: Logger, invocation: Invocation) => Promise<void>;
}

/** What Lambda calls. Tests of jobs that take no event call it without any. */
export type JobHandler = (
  event?: unknown,
  context?: Pick<Context, 'getRemainingTimeInMillis'>,
) => Promise<void>;

/** Lambda's longest timeout. */
const longestMs = 900_000;

/**
 * The Lambda handler of a job. It rejects after any failure, so that alarms see a failed invocation. In read-only mode it
 * only logs a warning.
 */
export function scheduled<Parts extends object>({ name, start, run }: Job<Parts>): JobHandler {
  let started: Promise<{ parts: Parts | undefined; log: Logger }> | undefined;
  const startOnce = async () => {
    try {
      const config = await loadSettings('maintenance');
      const log = createLogger(config.log);
      const parts = config.readOnly ? undefined : await start(config, damageLog(log));
      return { parts, log };
    } catch (error) {
      // The next invocation retries.
      started = undefined;
      throw error;
    }
  };
  return async (event, context) => {
    const startMs = performance.now();
    const usualMs = () => longestMs - (performance.now() - startMs);
    const remainingMs = () => context?.getRemainingTimeInMillis() ?? usualMs();
    try {
      const { parts, log } = await (started ??= startOnce());
      if (parts === undefined) log.warn(`${name} does not run: ${readOnlyReason}`);
      else await run(parts, log, { event, remainingMs });
    } catch (error) {
      logFailure(name, error);
      throw error;
    }
  };
}

function logFailure(name: string, error: unknown): void {
  const log = errorLogger();
  if (error instanceof ConfigError) log.error({ faults: error.faults }, 'invalid settings');
  else log.error({ err: error }, `${name} failed`);
}
