import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { createContext, runInContext } from 'node:vm';

/** By their names in lower case. */
export type Headers = Readonly<Record<string, string>>;

/*
 * https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
 */

/** Not visible to functions, which may not add them. */
const disallowed =
  /^(connection|expect|keep-alive|proxy-authenticate|proxy-authorization|proxy-connection|trailer|upgrade|x-accel-(buffering|charset|limit-rate|redirect)|x-amz-cf-.*|x-amzn-(auth|cf-billing|cf-id|cf-xff|errortype|fle-profile|header-count|header-order|lambda-integration-tag|requestid)|x-cache|x-edge-.*|x-forwarded-proto|x-real-ip)$/;

/** Functions may read them only. */
export const readOnly = {
  originResponse: ['transfer-encoding', 'via'],
  viewerResponse: ['warning', 'via'],
} as const;

export function withoutDisallowed(headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !disallowed.test(name)));
}

/** Bytes of a function of CloudFront. */
const maxFunction = 10 * 1024;

/**
 * Runs a function of CloudFront, with nothing of Node, no timers, no network and no evaluation of text, as its runtime has it
 * (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-event-structure.html).
 */
export function runViewerResponse(
  code: string,
  viewer: IncomingMessage,
  status: number,
  headers: Headers,
): Headers {
  assert.ok(Buffer.byteLength(code) <= maxFunction, 'the function is too large');
  const { pathname, searchParams } = new URL(viewer.url ?? '/', 'http://viewer');
  const valued = (pairs: Iterable<readonly [string, string]>) =>
    Object.fromEntries([...pairs].map(([name, value]) => [name, { value }]));
  const event = {
    version: '1.0',
    context: {
      distributionDomainName: 'd111111abcdef8.cloudfront.net',
      distributionId: 'EDFDVBD6EXAMPLE',
      eventType: 'viewer-response',
      requestId: 'of-a-test',
    },
    viewer: { ip: '198.51.100.11' },
    request: {
      method: viewer.method,
      uri: pathname,
      querystring: valued(searchParams),
      headers: valued(entriesOf(viewer)),
      cookies: {},
    },
    response: {
      statusCode: status,
      statusDescription: 'OK',
      headers: valued(Object.entries(headers)),
      cookies: {},
    },
  };
  const result = call(code, 'handler', event) as {
    statusCode: number;
    headers: Record<string, { value: string }>;
  };
  assert.equal(result.statusCode, status, 'a function for viewer responses cannot change the status');
  return Object.fromEntries(Object.entries(result.headers).map(([name, { value }]) => [name, value]));
}

/**
 * Runs a function of Lambda@Edge, which must not need a module
 * (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html).
 */
export async function runOriginResponse(
  code: string,
  viewer: IncomingMessage,
  status: number,
  headers: Headers,
): Promise<Headers> {
  const keyed = (pairs: Iterable<readonly [string, string]>) =>
    Object.fromEntries([...pairs].map(([key, value]) => [key.toLowerCase(), [{ key, value }]]));
  const [uri = '/', querystring = ''] = (viewer.url ?? '/').split(/\?(.*)/s);
  const cf = {
    config: { distributionId: 'EDFDVBD6EXAMPLE', eventType: 'origin-response', requestId: 'of-a-test' },
    request: {
      clientIp: '203.0.113.178',
      method: viewer.method,
      uri,
      querystring,
      headers: keyed(entriesOf(viewer)),
    },
    response: { status: String(status), statusDescription: 'OK', headers: keyed(Object.entries(headers)) },
  };
  const event = { Records: [{ cf }] };
  const result = (await call(`const exports = {};\n${code}`, 'exports.handler', event)) as typeof cf.response;
  assert.equal(result.status, cf.response.status);
  const changed = result.headers as Record<string, { value: string }[]>;
  return Object.fromEntries(
    Object.entries(changed).map(([name, values]) => [name, values.map(({ value }) => value).join(', ')]),
  );
}

function entriesOf({ headers }: IncomingMessage): [string, string][] {
  return Object.entries(headers).map(([name, value]) => [name, String(value)]);
}

function call(code: string, name: string, event: object): unknown {
  const context = createContext({ event }, { codeGeneration: { strings: false, wasm: false } });
  return runInContext(`${code}\n${name}(event);`, context, { timeout: 1_000 });
}
