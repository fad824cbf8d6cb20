import { startedHandler } from '../lib/lambda/handler.ts';
import { search } from '../lib/http/search.ts';

export const handler = await startedHandler({ search });
