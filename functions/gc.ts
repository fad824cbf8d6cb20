import { collect } from '../lib/lambda/collect.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';
import { createMaintenance } from '../lib/compose.ts';
import { registryAs } from '../lib/operator-events.ts';

/** Goes on with retention and garbage collection, where it is enabled. */
export const handler = scheduled({
  name: 'gc',
  start: async (config, onDamaged) => {
    const { collection: settings } = config;
    if (!settings.enabled) return { settings };
    const { store, registry, outbox } = await createMaintenance(config, onDamaged, {
      check: true,
      announces: true,
    });
    return { settings, job: { config, store, registry: registryAs(registry, outbox, 'retention apply') } };
  },
  run: async ({ settings, job }, log) => {
    if (job === undefined) log.info('gc does not run: REGISTRY_GC_ENABLED is not true');
    else await collect(job, settings, log);
  },
});
