import { startedHandler } from '../lib/lambda/handler.ts';
import { uploads } from '../lib/http/uploads.ts';

export const handler = await startedHandler({ uploads });
