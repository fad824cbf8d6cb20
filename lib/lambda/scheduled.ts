import './require-node.ts';
import type { Logger } from 'pino';
import { ConfigError, readOnlyReason, type Config } from '../config/config.ts';
import type { OnDamaged } from '../storage/store.ts';
import { damageLog } from '../damage-log.ts';
import { createLogger, errorLogger } from '../logging/logger.ts';
import { loadSettings } from './settings.ts';

/** A job on a schedule. */
export interface Job<Parts extends object> {
  /** For the log, such as `purge-uploads`. */
  readonly name: string;
  readonly start: (config: Config, onDamaged: OnDamaged) => Promise<Parts>;
  readonly run: (parts: Parts, log: Logger) => Promise<void>;
}

/**
 * The Lambda handler of a job. It rejects after any failure, so that alarms see a failed invocation. In read-only mode it
 * only logs a warning.
 */
export function scheduled<Parts extends object>({ name, start, run }: Job<Parts>): () => Promise<void> {
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
  return async () => {
    try {
      const { parts, log } = await (started ??= startOnce());
      if (parts === undefined) log.warn(`${name} does not run: ${readOnlyReason}`);
      else await run(parts, log);
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
