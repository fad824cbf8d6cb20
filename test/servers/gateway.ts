import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import type { FunctionName } from '../../infra/gateway.ts';
import { timeoutOf } from '../../infra/stack/function-sizes.ts';
import { invokeDeployed, type DeployedApi } from './gateway/deployed.ts';
import { decodedTwice, toEvent } from './gateway/event.ts';
import { readBody } from './gateway/read-body.ts';
import { refuse, sendResult, type ResponseParameters, type Unknowns } from './gateway/response.ts';
import { chooseRoute, routeKey } from './gateway/routes.ts';
import { listen, type Listening } from './listen.ts';

/*
 * An HTTP API of API Gateway before Lambda, with the limits of the real ones, which serverless-offline and emulators do not
 * have: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html and
 * https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html. Where a limit is passed, the client gets the
 * gateway's own answer, as it would.
 */

/** Bytes of a request's body at the gateway. */
const maxPayload = 10 * 1024 * 1024;

/** Bytes of an event, and of an answer, as JSON with the body in base64; measured on Lambda. */
const maxInvocation = 6_291_556;

/** Bytes of a request's line and headers. */
const maxHeaders = 10_240;

/** Milliseconds until the gateway times out; the function continues. */
const usualTimeoutMs = 30_000;

export type LambdaFunction = (
  event: APIGatewayProxyEventV2,
  context: Context,
) => Promise<APIGatewayProxyStructuredResultV2>;

/** Functions of this process by their names in serverless.yml, or those that an emulator runs. */
export type Backend = Readonly<Record<string, LambdaFunction>> | DeployedApi;

export interface GatewayOptions extends Unknowns {
  /** Any that is free, unless given. */
  readonly port?: number;
  /** Of the integrations. */
  readonly responseParameters?: ResponseParameters;
  readonly timeoutMs?: number;
}

export type Gateway = Listening;

/** Starts a gateway with the routes that are deployed. */
export async function startGateway(backend: Backend, options: GatewayOptions = {}): Promise<Gateway> {
  const server = createServer((request, response) => void answer(backend, options, request, response));
  return await listen(server, options.port);
}

async function answer(
  backend: Backend,
  options: GatewayOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readBody(request).catch(() => undefined);
  // The client has hung up.
  if (body === undefined) return;
  const [sent = '/', query = ''] = (request.url ?? '/').split(/\?(.*)/s);
  const path = decodedTwice(sent);
  if (path === undefined) {
    refuse(response, 400, 'Bad Request');
    return;
  }
  const route = chooseRoute(request.method ?? '', path);
  const event = toEvent(request, path, query, body, route && routeKey(route));
  const invoke = route && functionOf(backend, route.functionName);
  const context = route && contextOf(route.functionName);
  const refusal = limitPassed(request, body, event);
  if (refusal !== undefined) refuse(response, ...refusal);
  else if (invoke === undefined || context === undefined) refuse(response, 404, 'Not Found');
  else await sendInTime(response, request.method ?? '', invokeLimited(invoke, event, context), options);
}

function functionOf(backend: Backend, name: string): LambdaFunction | undefined {
  if (!isDeployed(backend)) return backend[name];
  return async (event) => await invokeDeployed(backend, event);
}

function isDeployed(backend: Backend): backend is DeployedApi {
  return typeof backend.invokeUrl === 'string';
}

async function sendInTime(
  response: ServerResponse,
  method: string,
  result: Promise<APIGatewayProxyStructuredResultV2>,
  { timeoutMs = usualTimeoutMs, responseParameters, ...unknowns }: GatewayOptions,
): Promise<void> {
  const timer = setTimeout(() => {
    refuse(response, 503, 'Service Unavailable');
  }, timeoutMs);
  const answer = await result;
  clearTimeout(timer);
  if (!response.headersSent) sendResult(response, method, answer, unknowns, responseParameters);
}

function limitPassed(request: IncomingMessage, body: Buffer, event: object): [number, string] | undefined {
  if (headerSize(request) > maxHeaders) return [431, 'Request Header Fields Too Large'];
  const tooLarge = body.length > maxPayload || Buffer.byteLength(JSON.stringify(event)) > maxInvocation;
  return tooLarge ? [413, 'Request Entity Too Large'] : undefined;
}

async function invokeLimited(
  invoke: LambdaFunction,
  event: APIGatewayProxyEventV2,
  context: Context,
): Promise<APIGatewayProxyStructuredResultV2> {
  const result = await invoke(event, context).catch(() => undefined);
  const fits = result !== undefined && Buffer.byteLength(JSON.stringify(result)) <= maxInvocation;
  return fits ? result : { statusCode: 500, body: JSON.stringify({ message: 'Internal Server Error' }) };
}

function headerSize({ method = '', url = '', rawHeaders }: IncomingMessage): number {
  return method.length + url.length + rawHeaders.reduce((size, text) => size + text.length + 2, 0);
}

/** What the handlers use of Lambda's context: nothing but the time that is left. */
function contextOf(name: FunctionName): Context {
  const timeoutMs = timeoutOf(name) * 1000;
  return {
    awsRequestId: randomUUID(),
    getRemainingTimeInMillis: () => timeoutMs,
  } as unknown as Context;
}
