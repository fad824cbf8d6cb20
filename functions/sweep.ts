import type { Logger } from 'pino';
import { abandonedAfter, sweep, SweepTotals, type Swept } from '../lib/registry/uploads/purge.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';
import { createMaintenance, type Maintenance } from '../lib/compose.ts';

/** Removes uploads that were given up. */
export const handler = scheduled({
  name: 'sweep',
  start: createMaintenance,
  run,
});

async function run({ store }: Maintenance, log: Logger): Promise<void> {
  const totals = new SweepTotals();
  for await (const swept of sweep(store, { olderThan: new Date(Date.now() - abandonedAfter) })) {
    totals.add(swept);
    logSwept(log, swept);
  }
  log.info({ totals }, 'the sweep is done');
  if (totals.failures > 0) throw new Error(`the sweep could not remove ${totals.failures} of what it found`);
}

function logSwept(log: Logger, swept: Swept): void {
  if (swept.kind === 'unlisted') log.warn({ reason: swept.reason }, 'some multipart uploads cannot be found');
  else if (swept.kind === 'failure') log.error({ key: swept.key, err: swept.error }, 'not removed');
  else log.info(swept, 'removed');
}
