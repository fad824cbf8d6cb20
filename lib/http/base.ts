import type { Handlers } from './app.ts';

/** `/v2/`: whether this is a registry (end-1). */
export const base: Handlers<'base'> = {
  GET({ ctx }) {
    ctx.body = {};
    ctx.set('Content-Type', 'application/json');
  },
};
