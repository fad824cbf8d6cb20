import type { Handlers } from './app.ts';
import { sendJson } from './send.ts';

/**
 * `/` and `/livez`: whether the process runs. `/readyz`: whether it should get requests. A registry that is not ready goes on
 * answering them, since it may be the only one.
 */
export const health: Handlers<'health'> = {
  async GET({ ctx, route, readiness }) {
    const unready = route.check === 'ready' ? await readiness.unready() : [];
    ctx.status = unready.length === 0 ? 200 : 503;
    sendJson(ctx, unready.length === 0 ? { status: route.check } : { status: 'unready', unready });
    ctx.set('Cache-Control', 'no-store');
  },
};
