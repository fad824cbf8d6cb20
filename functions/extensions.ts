import { startedHandler } from '../lib/lambda/handler.ts';
import { extensions } from '../lib/http/extensions.ts';

export const handler = await startedHandler({ extensions });
