import { startedHandler } from '../lib/lambda/handler.ts';
import { catalog } from '../lib/http/catalog.ts';

export const handler = await startedHandler({ catalog });
