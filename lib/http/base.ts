import type { Handlers } from './app.ts';
import { sendJson } from './send.ts';

/** `/v2/`: whether this is a registry (end-1). */
export const base: Handlers<'base'> = {
  GET({ ctx }) {
    sendJson(ctx, {});
  },
};
