import { startedHandler } from '../lib/lambda/handler.ts';
import { all } from '../lib/http/all.ts';

export const handler = await startedHandler(all);
