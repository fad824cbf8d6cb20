import { startedHandler } from '../lib/lambda/handler.ts';
import { base } from '../lib/http/base.ts';
import { health } from '../lib/http/health.ts';

export const handler = await startedHandler({ base, health });
