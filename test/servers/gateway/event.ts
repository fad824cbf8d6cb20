import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';

/** Headers of one connection, which no function gets. */
const hopByHop = ['connection', 'expect', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'];

/**
 * What the functions get of a request, in payload format 2.0: paths decoded, headers in lower case, those that come twice
 * and parameters that come twice joined by commas, cookies apart, and bodies that are no text in base64
 * (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
 */
export function toEvent(
  request: IncomingMessage,
  path: string,
  query: string,
  body: Buffer,
  routeKey = '$default',
): APIGatewayProxyEventV2 {
  const { cookie, ...headers } = functionHeaders(request, body);
  const isText = isTextType(headers['content-type'] ?? '');
  const host = headers['host'] ?? '';
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: query,
    ...(cookie === undefined ? {} : { cookies: cookie.split(/;\s*/) }),
    headers,
    ...(query === '' ? {} : { queryStringParameters: parametersOf(query) }),
    requestContext: {
      accountId: '123456789012',
      apiId: 'api',
      domainName: host,
      domainPrefix: host.split('.')[0] ?? '',
      http: {
        method: request.method ?? '',
        path,
        protocol: 'HTTP/1.1',
        sourceIp: sourceOf(request),
        userAgent: headers['user-agent'] ?? '',
      },
      requestId: randomUUID(),
      routeKey,
      stage: '$default',
      time: new Date().toUTCString(),
      timeEpoch: Date.now(),
    },
    ...(body.length > 0 ? { body: isText ? body.toString() : body.toString('base64') } : {}),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

/** Found out on AWS; forms and types such as `application/vnd.oci.image.manifest.v1+json` are in base64. */
function isTextType(type: string): boolean {
  return /^(text\/|application\/(json|xml|javascript)(;|$))/.test(type);
}

function functionHeaders(request: IncomingMessage, body: Buffer): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, values] of Object.entries(request.headersDistinct))
    if (!hopByHop.includes(name) && !name.startsWith('x-forwarded-'))
      headers[name] = (values ?? []).join(',');
  headers['forwarded'] = forwarded(request);
  headers['x-amzn-trace-id'] = `Root=1-${randomUUID()}`;
  // The gateway has the body whole before it calls, and says how long it is.
  headers['content-length'] = String(body.length);
  // "API Gateway adds the Content-type header to your request if there is no payload and the Content-Length is 0."
  // (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html); which one is not said.
  if (body.length === 0) headers['content-type'] ??= 'application/json';
  return headers;
}

/**
 * "HTTP APIs translate incoming `X-Forwarded-*` headers into a standard `Forwarded` header and will append the egress IP,
 * Host, and protocol." (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html)
 */
function forwarded(request: IncomingMessage): string {
  const { headers } = request;
  const of = (name: string) => String(headers[`x-forwarded-${name}`] ?? '');
  const proxies = of('for')
    .split(',')
    .filter((address) => address.trim() !== '')
    .map((address) => `for=${address.trim()}`);
  const [host, proto] = [of('host'), of('proto')];
  if (host !== '') proxies.push(`host=${host}`);
  if (proto !== '') proxies.push(`proto=${proto}`);
  const own = `by=127.0.0.1;for=${sourceOf(request)};host=${headers.host ?? ''};proto=http`;
  return [...(headers.forwarded === undefined ? [] : [headers.forwarded]), ...proxies, own].join(', ');
}

function sourceOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? '127.0.0.1';
}

function parametersOf(query: string): Record<string, string> {
  const parameters = new URLSearchParams(query);
  return Object.fromEntries(
    [...new Set(parameters.keys())].map((name) => [name, parameters.getAll(name).join(',')]),
  );
}

/**
 * A path as functions get it, whatever its name (`rawPath`) says: percent-encodings are resolved twice, and what then follows
 * a question mark of the first time is cut off. Undefined where the second time fails, which is answered with 400. Found out
 * on AWS: github.com/hotsock/voker, vokerhttp/testdata/ingress-paths.json. Routes are chosen by it: with `/{a}/thing`,
 * `/a%2Fb/thing` finds none.
 */
export function decodedTwice(path: string): string | undefined {
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
