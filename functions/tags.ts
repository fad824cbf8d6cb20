import { startedHandler } from '../lib/lambda/handler.ts';
import { tags } from '../lib/http/tags.ts';

export const handler = await startedHandler({ tags });
