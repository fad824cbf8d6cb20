import { lambdaHandler } from '../lib/lambda/handler.ts';
import { token } from '../lib/http/token.ts';

export const handler = lambdaHandler({ token });
