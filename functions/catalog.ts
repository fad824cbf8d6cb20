import { lambdaHandler } from '../lib/lambda/handler.ts';
import { catalog } from '../lib/http/catalog.ts';

export const handler = lambdaHandler({ catalog });
