import './require-node.ts';
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import serverless from 'serverless-http';
import { ConfigError, loadConfig } from '../config/config.ts';
import { RegistryError } from '../protocol/errors.ts';
import { Deadline } from '../storage/deadline.ts';
import { createApp, type Groups } from '../http/app.ts';
import { createLogger } from '../logging.ts';
import { createServices } from '../compose.ts';

type Result = APIGatewayProxyStructuredResultV2;
export type Handler = (event: APIGatewayProxyEventV2, context: Context) => Promise<Result>;

/**
 * A Lambda handler for an HTTP API with payload format 2.0. It starts at an instance's first request. If that fails, the
 * response is a 503 and the log has the reason.
 */
export function lambdaHandler(groups: Groups): Handler {
  let app: Promise<Handler> | undefined;
  return middy<APIGatewayProxyEventV2, Result>({ timeoutEarlyResponse: timedOut })
    .onError((request) => {
      // The next request retries a failed start.
      app = undefined;
      request.response = unavailable(request.error);
    })
    .handler(async (event, context, { signal }) => {
      const handle = await (app ??= start(groups));
      const deadline = new Deadline(context.getRemainingTimeInMillis());
      signal.addEventListener('abort', () => {
        deadline.end();
      });
      return await deadline.run(async () => await handle(event, context));
    });
}

async function start(groups: Groups): Promise<Handler> {
  const app = createApp(groups, await createServices('functions', loadConfig('functions')));
  // No response is binary: blobs are redirected, and manifests are JSON.
  return serverless(app.callback(), { provider: 'aws' });
}

function unavailable(error: Error | null | undefined): Result {
  const log = createLogger('error');
  if (error instanceof ConfigError) log.error({ faults: error.faults }, 'invalid settings');
  else log.error({ err: error }, 'a function failed');
  return respond(new RegistryError('UNAVAILABLE', 'the registry is not set up right; its log says why'));
}

/** Runs just before Lambda's timeout. */
function timedOut(): Result {
  createLogger('error').error('a request took longer than the function may');
  return respond(new RegistryError('UNAVAILABLE', 'the storage answers too slowly; try again'));
}

function respond({ status, headers, body }: RegistryError): Result {
  return {
    statusCode: status,
    headers: { 'content-type': 'application/json', 'x-content-type-options': 'nosniff', ...headers },
    body,
  };
}
