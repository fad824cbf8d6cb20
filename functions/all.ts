import { lambdaHandler } from '../lib/lambda/handler.ts';
import { all } from '../lib/http/all.ts';

export const handler = lambdaHandler(all);
