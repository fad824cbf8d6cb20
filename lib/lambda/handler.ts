import './require-node.ts';
import type { IncomingMessage } from 'node:http';
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import serverless from 'serverless-http';
import { ConfigError } from '../config/config.ts';
import { RegistryError } from '../protocol/errors.ts';
import { Deadline } from '../storage/deadline.ts';
import { createApp, type Groups } from '../http/app.ts';
import { errorLogger } from '../logging/logger.ts';
import { createServices } from '../compose.ts';
import { functionLimits } from '../http/limits.ts';
import { signingGroups } from '../http/signing-groups.ts';
import { withHeaderCopies } from './header-copies.ts';
import { FunctionObservers } from './observers.ts';
import { loadSettings } from './settings.ts';

type Result = APIGatewayProxyStructuredResultV2;
export type Handler = (event: APIGatewayProxyEventV2, context: Context) => Promise<Result>;

/**
 * A Lambda handler for an HTTP API with payload format 2.0. It starts at an instance's first request. If that fails, the
 * response is a 503 and the log has the reason.
 */
export function lambdaHandler(groups: Groups): Handler {
  let app: Promise<Handler> | undefined;
  let id = '';
  return middy<APIGatewayProxyEventV2, Result>({ timeoutEarlyResponse: () => timedOut(id) })
    .onError((request) => {
      // The next request retries a failed start.
      app = undefined;
      request.response = unavailable(request.error, id);
    })
    .handler(async (event, context, { signal }) => {
      // An instance handles one request at a time.
      id = requestId(event, context);
      const handle = await (app ??= start(groups));
      const deadline = new Deadline(context.getRemainingTimeInMillis());
      signal.addEventListener('abort', () => {
        deadline.end();
      });
      return await deadline.run(async () => await handle(event, context));
    });
}

/** Metrics are written, and spans sent, before the response, since the instance is frozen after it. */
async function start(groups: Groups): Promise<Handler> {
  const signs = signingGroups.some((group) => group in groups);
  const config = await loadSettings('functions', { signs });
  const observers = await FunctionObservers.load(config);
  const services = await createServices('functions', config, functionLimits, observers.telemetry);
  observers.reportProblems(services.log);
  const handle = serverless(createApp(groups, services), {
    // No response is binary: blobs are redirected, and manifests are JSON.
    provider: 'aws',
    // Its own way takes the client's header if there is one.
    requestId: '',
    request: (request: IncomingMessage, event: APIGatewayProxyEventV2, context: Context) => {
      request.headers['x-request-id'] = requestId(event, context);
    },
  }) as Handler;
  return async (event, context) => {
    const result = await handle(event, context);
    await observers.flush();
    return withHeaderCopies(event.requestContext.http.method, result);
  };
}

/** The gateway's, which its access log has too. serverless-offline gives the same one to all requests. */
function requestId({ requestContext }: APIGatewayProxyEventV2, { awsRequestId }: Context): string {
  return requestContext.requestId === 'offlineContext_resourceId' ? awsRequestId : requestContext.requestId;
}

function unavailable(error: Error | null | undefined, id: string): Result {
  const log = errorLogger();
  if (error instanceof ConfigError) log.error({ id, faults: error.faults }, 'invalid settings');
  else log.error({ id, err: error }, 'a function failed');
  return respond(new RegistryError('UNAVAILABLE', 'the registry is not set up right; its log says why'), id);
}

/** Runs just before Lambda's timeout. */
function timedOut(id: string): Result {
  errorLogger().error({ id }, 'a request took longer than the function may');
  return respond(new RegistryError('UNAVAILABLE', 'the storage answers too slowly; try again'), id);
}

function respond({ status, headers, body }: RegistryError, id: string): Result {
  return {
    statusCode: status,
    headers: {
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
      'x-request-id': id,
      ...headers,
    },
    body,
  };
}
