import { lambdaHandler } from '../lib/lambda/handler.ts';
import { search } from '../lib/http/search.ts';

export const handler = lambdaHandler({ search });
