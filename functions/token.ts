import { startedHandler } from '../lib/lambda/handler.ts';
import { token } from '../lib/http/token.ts';

export const handler = await startedHandler({ token });
