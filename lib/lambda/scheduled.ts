import './require-node.ts';
import type { Logger } from 'pino';
import { ConfigError, loadConfig, readOnlyReason, type Config } from '../config/config.ts';
import type { OnDamaged } from '../storage/store.ts';
import { damageLog } from '../damage-log.ts';
import { createLogger } from '../logging.ts';

/** What is run by a schedule, without a request. */
export interface Job<Parts extends object> {
  /** For the log, such as `purge-uploads`. */
  readonly name: string;
  /** Makes what the work is done with. */
  readonly start: (config: Config, onDamaged: OnDamaged) => Promise<Parts>;
  readonly run: (parts: Parts, log: Logger) => Promise<void>;
}

/**
 * The Lambda handler of a job. Settings are read and parts made at the first call of an instance. It rejects when anything
 * failed, so that the invocation counts as failed, where an alarm sees it; what is left goes with the next. In read-only mode
 * it does nothing but say so.
 */
export function scheduled<Parts extends object>({ name, start, run }: Job<Parts>): () => Promise<void> {
  let made: Promise<{ parts: Parts | undefined; log: Logger }> | undefined;
  const make = async () => {
    try {
      const config = loadConfig('maintenance');
      const log = createLogger(config.logLevel);
      const parts = config.readOnly ? undefined : await start(config, damageLog(log));
      return { parts, log };
    } catch (error) {
      // It may succeed next time, such as when the storage was out of reach.
      made = undefined;
      throw error;
    }
  };
  return async () => {
    try {
      const { parts, log } = await (made ??= make());
      if (parts === undefined) log.warn(`${name} does not run: ${readOnlyReason}`);
      else await run(parts, log);
    } catch (error) {
      logFailure(name, error);
      throw error;
    }
  };
}

function logFailure(name: string, error: unknown): void {
  const log = createLogger('error');
  if (error instanceof ConfigError) log.error({ faults: error.faults }, 'invalid settings');
  else log.error({ err: error }, `${name} failed`);
}
