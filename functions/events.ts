import { scheduled } from '../lib/lambda/scheduled.ts';

/** Delivers events, where there are endpoints. */
export const handler = scheduled({
  name: 'events',
  start: (config) => Promise.resolve({ endpoints: config.notifications.endpoints }),
  run: ({ endpoints }, log) => {
    if (endpoints.length === 0) log.info('events does not run: there are no endpoints');
    return Promise.resolve();
  },
});
