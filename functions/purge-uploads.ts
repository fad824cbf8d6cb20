import { abandonedAfterMs, purgeUploads, PurgeTotals } from '../lib/registry/uploads/purge.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';
import { createMaintenance } from '../lib/compose.ts';

/** Removes abandoned uploads. */
export const handler = scheduled({
  name: 'purge-uploads',
  start: createMaintenance,
  run: async ({ store }, log) => {
    const totals = new PurgeTotals();
    for await (const result of purgeUploads(store, { olderThan: new Date(Date.now() - abandonedAfterMs) })) {
      totals.add(result);
      if (result.kind === 'unlisted')
        log.warn({ reason: result.reason }, 'some multipart uploads cannot be listed');
      else if (result.kind === 'failure') log.error({ key: result.key, err: result.error }, 'not removed');
      else log.info(result, 'removed');
    }
    log.info({ totals }, 'the purge is complete');
    if (totals.failures > 0) throw new Error(`${totals.failures} objects could not be removed`);
  },
});
