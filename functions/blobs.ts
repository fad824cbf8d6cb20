import { startedHandler } from '../lib/lambda/handler.ts';
import { blobs } from '../lib/http/blobs.ts';

export const handler = await startedHandler({ blobs });
