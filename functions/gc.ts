import { collect } from '../lib/lambda/collect.ts';
import { scheduled } from '../lib/lambda/scheduled.ts';
import { createMaintenance } from '../lib/compose.ts';

/** Goes on with garbage collection, where it is enabled. */
export const handler = scheduled({
  name: 'gc',
  start: async (config, onDamaged) => {
    const { collection: settings } = config;
    if (!settings.enabled) return { settings };
    const { store } = await createMaintenance(config, onDamaged, { check: true });
    return { settings, store };
  },
  run: async ({ settings, store }, log) => {
    if (store === undefined) log.info('gc does not run: REGISTRY_GC_ENABLED is not true');
    else await collect(store, settings, log);
  },
});
