import type { Logger } from 'pino';
import { ConfigError, loadConfig } from '../lib/config.ts';
import { abandonedAfter, sweep, SweepTotals, type Swept } from '../lib/registry/sweep.ts';
import type { ObjectStore } from '../lib/storage/store.ts';
import { createLogger } from './logging.ts';
import { openStore } from './services.ts';

interface Parts {
  readonly store: ObjectStore;
  readonly log: Logger;
}

/** Removes uploads that were given up: run by a schedule, without a request. */
export const handler = scheduledSweep();

/**
 * The Lambda handler. Settings are read and parts made at the first call of an instance. It rejects when anything
 * failed, so that the invocation counts as failed, where an alarm sees it; what is left goes with the next.
 */
function scheduledSweep(): () => Promise<void> {
  let parts: Promise<Parts> | undefined;
  return async () => {
    try {
      parts ??= start();
      await run(await parts);
    } catch (error) {
      // A start that failed may succeed next time, such as when the storage was out of reach.
      parts = undefined;
      logFailure(error);
      throw error;
    }
  };
}

async function start(): Promise<Parts> {
  const { storage, logLevel } = loadConfig('maintenance');
  return { store: await openStore(storage, { check: false }), log: createLogger(logLevel) };
}

async function run({ store, log }: Parts): Promise<void> {
  const totals = new SweepTotals();
  for await (const swept of sweep(store, { olderThan: new Date(Date.now() - abandonedAfter) })) {
    totals.add(swept);
    logSwept(log, swept);
  }
  log.info({ totals }, 'the sweep is done');
  if (totals.failures > 0) throw new Error(`the sweep could not remove ${totals.failures} of what it found`);
}

function logSwept(log: Logger, swept: Swept): void {
  if (swept.kind === 'failure') log.error({ key: swept.key, err: swept.error }, 'not removed');
  else log.info(swept, 'removed');
}

function logFailure(error: unknown): void {
  const log = createLogger('error');
  if (error instanceof ConfigError) log.error({ faults: error.faults }, 'the settings are not right');
  else log.error({ err: error }, 'the sweep failed');
}
