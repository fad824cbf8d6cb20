import { lambdaHandler } from '../lib/lambda/handler.ts';
import { base } from '../lib/http/base.ts';

export const handler = lambdaHandler({ base });
