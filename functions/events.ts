import { createMaintenance } from '../lib/compose.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';

/** Delivers events, where there are endpoints. */
export const handler = scheduled({
  name: 'events',
  start: async (config, onDamaged) => {
    if (config.notifications.endpoints.length === 0) return { job: undefined };
    const { deliver } = await import('../lib/lambda/deliver.ts');
    return { job: { config, deliver, ...(await createMaintenance(config, onDamaged)) } };
  },
  run: async ({ job }, log) => {
    if (job === undefined) log.info('events does not run: there are no endpoints');
    else await job.deliver(job, log);
  },
});
