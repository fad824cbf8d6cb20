import './require-node.ts';
import type { Logger } from 'pino';
import { ConfigError, loadConfig, type Config } from '../config/config.ts';
import type { OnDamaged } from '../storage/store.ts';
import { damageLog } from '../damage-log.ts';
import { createLogger } from '../logging.ts';

/** What is run by a schedule, without a request. */
export interface Job<Parts> {
  /** For the log: `sweep`. */
  readonly name: string;
  /** Makes what the work is done with. */
  readonly start: (config: Config, onDamaged: OnDamaged) => Promise<Parts>;
  readonly run: (parts: Parts, log: Logger) => Promise<void>;
}

/**
 * The Lambda handler of a job. Settings are read and parts made at the first call of an instance. It rejects when anything
 * failed, so that the invocation counts as failed, where an alarm sees it; what is left goes with the next.
 */
export function scheduled<Parts>({ name, start, run }: Job<Parts>): () => Promise<void> {
  let made: Promise<{ parts: Parts; log: Logger }> | undefined;
  const make = async () => {
    try {
      const config = loadConfig('maintenance');
      const log = createLogger(config.logLevel);
      return { parts: await start(config, damageLog(log)), log };
    } catch (error) {
      // It may succeed next time, such as when the storage was out of reach.
      made = undefined;
      throw error;
    }
  };
  return async () => {
    try {
      const { parts, log } = await (made ??= make());
      await run(parts, log);
    } catch (error) {
      logFailure(name, error);
      throw error;
    }
  };
}

function logFailure(name: string, error: unknown): void {
  const log = createLogger('error');
  if (error instanceof ConfigError) log.error({ faults: error.faults }, 'the settings are not right');
  else log.error({ err: error }, `the ${name} failed`);
}
