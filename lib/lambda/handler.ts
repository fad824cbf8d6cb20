import './require-node.ts';
import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import serverless from 'serverless-http';
import { ConfigError, type Config } from '../config/config.ts';
import { RegistryError } from '../protocol/errors.ts';
import { Deadline } from '../storage/deadline.ts';
import { announcingGroups } from '../http/announcing-groups.ts';
import { createApp, type Groups } from '../http/app.ts';
import { errorLogger } from '../logging/logger.ts';
import { createServices } from '../compose.ts';
import { functionLimits } from '../http/limits.ts';
import type { Services } from '../http/services.ts';
import { signingGroups } from '../http/signing-groups.ts';
import { withHeaderCopies } from './header-copies.ts';
import { FunctionObservers } from './observers.ts';
import { loadSettings } from './settings.ts';

type Result = APIGatewayProxyStructuredResultV2;
export type Handler = (event: APIGatewayProxyEventV2, context: Context) => Promise<Result>;

/** Lambda ends the loading of a module after 10 s. */
const maxEarlyStartMs = 5_000;

// eslint-disable-next-line no-restricted-syntax -- set by Lambda, and no setting
const environment = process.env;

/**
 * A handler that has started, so that the first request finds the settings, the connection to the bucket and the policy: while a
 * module loads, Lambda gives it a whole processor, and afterwards a share of one. A start that fails is made again at the first
 * request, and one that takes long is waited for there. Elsewhere than in Lambda, it starts at the first request.
 */
export async function startedHandler(groups: Groups, maxMs = maxEarlyStartMs): Promise<Handler> {
  if (environment['AWS_LAMBDA_FUNCTION_NAME'] === undefined) return lambdaHandler(groups);
  let starting: Promise<Handler> | undefined = start(groups, prepare);
  const started = starting.catch(() => {
    starting = undefined;
  });
  await Promise.race([started, delay(maxMs, undefined, { ref: false })]);
  return lambdaHandler(groups, starting);
}

/** Loads what requests need. What fails is loaded again by the request that needs it. */
async function prepare({ access, tokens }: Services): Promise<void> {
  // It needs the policy, and nothing else.
  const anonymous = { authorization: undefined, address: undefined, origin: '' };
  await Promise.allSettled([access.authenticate(anonymous), tokens?.()]);
}

/**
 * A Lambda handler for an HTTP API with payload format 2.0. It starts at an instance's first request, unless it is starting
 * already. If that fails, the response is a 503 and the log has the reason.
 */
export function lambdaHandler(groups: Groups, starting?: Promise<Handler>): Handler {
  let app = starting;
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
async function start(groups: Groups, prepare?: (services: Services) => Promise<void>): Promise<Handler> {
  const signs = signingGroups.some((group) => group in groups);
  const settings = await loadSettings('functions', { signs });
  const announces = announcingGroups.some((group) => group in groups);
  const config = announces ? settings : withoutEndpoints(settings);
  const observers = await FunctionObservers.load(config);
  const services = await createServices('functions', config, functionLimits, observers.telemetry);
  observers.reportProblems(services.log);
  await prepare?.(services);
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

/** Its package lacks what keeps events. */
function withoutEndpoints(config: Config): Config {
  return { ...config, notifications: { ...config.notifications, endpoints: [] } };
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
