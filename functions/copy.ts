import { createMaintenance } from '../lib/compose.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';

/** Copies a blob from another registry, where there are upstreams. Functions that answer requests invoke it. */
export const handler = scheduled({
  name: 'copy',
  start: async (config, onDamaged) => {
    if (config.upstreams.length === 0) return { job: undefined };
    const { createCopyJob } = await import('../lib/compose-function-cache.ts');
    const { copy } = await import('../lib/lambda/copy.ts');
    const { store } = await createMaintenance(config, onDamaged);
    return { job: { ...createCopyJob(config, store), copy } };
  },
  run: async ({ job }, log, invocation) => {
    if (job === undefined) log.info('copy does not run: there are no upstreams');
    else await job.copy(job, invocation, log);
  },
});
