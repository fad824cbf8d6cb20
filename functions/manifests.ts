import { startedHandler } from '../lib/lambda/handler.ts';
import { manifests } from '../lib/http/manifests.ts';

export const handler = await startedHandler({ manifests });
