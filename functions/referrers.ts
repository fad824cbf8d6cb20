import { startedHandler } from '../lib/lambda/handler.ts';
import { referrers } from '../lib/http/referrers.ts';

export const handler = await startedHandler({ referrers });
