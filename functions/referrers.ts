import { lambdaHandler } from '../lib/lambda/handler.ts';
import { referrers } from '../lib/http/referrers.ts';

export const handler = lambdaHandler({ referrers });
