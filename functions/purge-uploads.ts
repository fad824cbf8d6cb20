import { abandonedAfter, sweep, SweepTotals } from '../lib/registry/uploads/purge.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';
import { createMaintenance } from '../lib/compose.ts';

/** Removes abandoned uploads. */
export const handler = scheduled({
  name: 'purge-uploads',
  start: createMaintenance,
  run: async ({ store }, log) => {
    const totals = new SweepTotals();
    for await (const swept of sweep(store, { olderThan: new Date(Date.now() - abandonedAfter) })) {
      totals.add(swept);
      if (swept.kind === 'unlisted')
        log.warn({ reason: swept.reason }, 'some multipart uploads cannot be listed');
      else if (swept.kind === 'failure') log.error({ key: swept.key, err: swept.error }, 'not removed');
      else log.info(swept, 'removed');
    }
    log.info({ totals }, 'the purge is complete');
    if (totals.failures > 0) throw new Error(`${totals.failures} objects could not be removed`);
  },
});
