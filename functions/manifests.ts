import { lambdaHandler } from '../lib/lambda/handler.ts';
import { manifests } from '../lib/http/manifests.ts';

export const handler = lambdaHandler({ manifests });
