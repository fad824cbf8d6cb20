import type { Operations } from './app.ts';

/** `/v2/`: whether this is a registry, and later who may enter (end-1). */
export const base: Operations<'base'> = {
  GET({ ctx }) {
    ctx.body = {};
    ctx.set('Content-Type', 'application/json');
  },
};
