import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { describeFunctions } from '../../infra/gateway.ts';

/*
 * An HTTP API of API Gateway before Lambda, with the limits of the real ones, which serverless-offline does not have:
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html and
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
const patience = 30_000;

/** Milliseconds a function has, as serverless.yml says. */
const functionTimeout = 120_000;

export type LambdaFunction = (
  event: APIGatewayProxyEventV2,
  context: Context,
) => Promise<APIGatewayProxyStructuredResultV2>;

export interface Gateway {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  stop(): Promise<void>;
}

interface Route {
  readonly functionName: string;
  readonly method: string;
  readonly segments: readonly string[];
}

/**
 * Starts a gateway with the routes that are deployed.
 * @param functions by name, as in serverless.yml
 * @param port any that is free, unless given
 */
export async function startGateway(
  functions: Readonly<Record<string, LambdaFunction>>,
  port = 0,
): Promise<Gateway> {
  const server = createServer((request, response) => void answer(functions, request, response));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const routes: readonly Route[] = Object.entries(describeFunctions()).flatMap(([functionName, { events }]) =>
  events.map(({ httpApi: { method, path } }) => ({ functionName, method, segments: path.split('/') })),
);

/**
 * The route a request takes, or undefined. A route of the exact method comes before one of any; the more of its
 * segments are literal, the earlier; `{path+}` last of all
 * (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html).
 */
export function chooseRoute(method: string, path: string): Route | undefined {
  const segments = path.split('/');
  const fitting = routes.filter(
    (route) => (route.method === '*' || route.method === method) && fits(route, segments),
  );
  return fitting.sort((a, b) => rank(b) - rank(a))[0];
}

function fits({ segments }: Route, path: readonly string[]): boolean {
  if (segments.at(-1)?.endsWith('+}') === true) return path.length >= segments.length;
  return (
    segments.length === path.length &&
    segments.every((segment, i) => (segment.startsWith('{') ? path[i] !== '' : segment === path[i]))
  );
}

function rank({ method, segments }: Route): number {
  const greedy = segments.at(-1)?.endsWith('+}') === true;
  const literals = segments.filter((segment) => !segment.startsWith('{')).length;
  return (greedy ? 0 : 1000) + literals * 2 + (method === '*' ? 0 : 1);
}

async function answer(
  functions: Readonly<Record<string, LambdaFunction>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readBody(request);
  const [sent = '/', query = ''] = (request.url ?? '/').split(/\?(.*)/s);
  const path = decodedTwice(sent);
  if (path === undefined) {
    refuse(response, 400, 'Bad Request');
    return;
  }
  const event = toEvent(request, path, query, body);
  const invoke = functions[chooseRoute(request.method ?? '', path)?.functionName ?? ''];
  const refusal = limitPassed(request, body, event);
  if (refusal !== undefined) refuse(response, ...refusal);
  else if (invoke === undefined) refuse(response, 404, 'Not Found');
  else await sendInTime(response, invokeLimited(invoke, event));
}

async function sendInTime(
  response: ServerResponse,
  result: Promise<APIGatewayProxyStructuredResultV2>,
): Promise<void> {
  const timer = setTimeout(() => {
    refuse(response, 503, 'Service Unavailable');
  }, patience);
  const answer = await result;
  clearTimeout(timer);
  if (!response.headersSent) send(response, answer);
}

function limitPassed(request: IncomingMessage, body: Buffer, event: object): [number, string] | undefined {
  if (headerSize(request) > maxHeaders) return [431, 'Request Header Fields Too Large'];
  const tooLarge = body.length > maxPayload || Buffer.byteLength(JSON.stringify(event)) > maxInvocation;
  return tooLarge ? [413, 'Request Entity Too Large'] : undefined;
}

async function invokeLimited(
  invoke: LambdaFunction,
  event: APIGatewayProxyEventV2,
): Promise<APIGatewayProxyStructuredResultV2> {
  const result = await invoke(event, context()).catch(() => undefined);
  const fits = result !== undefined && Buffer.byteLength(JSON.stringify(result)) <= maxInvocation;
  return fits ? result : { statusCode: 500, body: JSON.stringify({ message: 'Internal Server Error' }) };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

function headerSize({ method = '', url = '', rawHeaders }: IncomingMessage): number {
  return method.length + url.length + rawHeaders.reduce((size, text) => size + text.length + 2, 0);
}

/** The gateway's own answers have this form, which is not the registry's. */
function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ message }));
}

/** Payload format 2.0: paths decoded, headers in lower case and joined by commas, bodies that are no text in base64. */
function toEvent(
  request: IncomingMessage,
  path: string,
  query: string,
  body: Buffer,
): APIGatewayProxyEventV2 {
  const headers: Record<string, string> = {};
  for (const [name, values] of Object.entries(request.headersDistinct))
    headers[name] = (values ?? []).join(',');
  delete headers['transfer-encoding'];
  delete headers['connection'];
  // The gateway has the body whole before it calls, and says how long it is.
  if (body.length > 0) headers['content-length'] = String(body.length);
  const isText = /^(text\/|application\/(json|xml|javascript)(;|$))/.test(headers['content-type'] ?? '');
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: query,
    headers,
    queryStringParameters: Object.fromEntries(new URLSearchParams(query)),
    requestContext: {
      accountId: '123456789012',
      apiId: 'api',
      domainName: 'gateway',
      domainPrefix: 'api',
      http: {
        method: request.method ?? '',
        path,
        protocol: 'HTTP/1.1',
        sourceIp: '127.0.0.1',
        userAgent: '',
      },
      requestId: randomUUID(),
      routeKey: '$default',
      stage: '$default',
      time: new Date().toUTCString(),
      timeEpoch: Date.now(),
    },
    ...(body.length > 0 ? { body: isText ? body.toString() : body.toString('base64') } : {}),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

/**
 * A path as functions get it, whatever its name (`rawPath`) says: percent-encodings are resolved twice, and what then follows
 * a question mark of the first time is cut off. Undefined where the second time fails, which is answered with 400. Found out
 * on AWS: github.com/hotsock/voker, vokerhttp/testdata/ingress-paths.json. Routes are chosen by it: with `/{a}/thing`,
 * `/a%2Fb/thing` finds none.
 */
function decodedTwice(path: string): string | undefined {
  const once = decode(path);
  return once === undefined ? path : decode(once.split('?')[0] ?? '');
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, result: APIGatewayProxyStructuredResultV2): void {
  const { statusCode = 200, headers = {}, body = '', isBase64Encoded = false } = result;
  const fields = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
  // A gateway gives a type to answers that have none.
  response.writeHead(statusCode, { 'content-type': 'text/plain;charset=UTF-8', ...fields });
  response.end(Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8'));
}

/** What the handlers use of Lambda's context: nothing but the time that is left. */
function context(): Context {
  return {
    awsRequestId: randomUUID(),
    getRemainingTimeInMillis: () => functionTimeout,
  } as unknown as Context;
}
