import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import {
  readOnly,
  runOriginResponse,
  runViewerResponse,
  withoutDisallowed,
  type Headers,
} from './cloudfront/edge.ts';
import { listen, type Listening } from './listen.ts';

/** A distribution without a cache. */
export interface Distribution {
  /** The URL of the origin of a path, as its cache behaviors choose it. */
  readonly origin: (path: string) => string;
  /** The file of a function of CloudFront, for the event viewer-response. */
  readonly viewerResponse?: URL;
  /** The file of a function of Lambda@Edge, for the event origin-response. */
  readonly originResponse?: URL;
}

/**
 * Starts a double of CloudFront, which passes all that a viewer sends to the origin, and calls functions with the events, and
 * within the restrictions, that AWS documents.
 */
export async function startCloudFront(distribution: Distribution): Promise<Listening> {
  const server = createServer((viewer, answer) => {
    pass(distribution, viewer, answer).catch(() => {
      answer.destroy();
    });
  });
  return await listen(server);
}

async function pass(
  distribution: Distribution,
  viewer: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  const { headers, url = '/' } = viewer;
  const origin = distribution.origin(url);
  const address = viewer.socket.remoteAddress ?? '';
  const outgoing = request(new URL(url, origin), {
    method: viewer.method,
    headers: {
      ...headers,
      host: new URL(origin).host,
      'x-forwarded-for': [headers['x-forwarded-for'], address].filter(Boolean).join(','),
      'x-amz-cf-id': 'of-a-test',
      via: '1.1 of-a-test.cloudfront.net (CloudFront)',
    },
    agent: false,
  });
  const sent = pipeline(viewer, outgoing);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  await sent;
  const status = response.statusCode ?? 502;
  const changed = await changedHeaders(distribution, viewer, status, headersOf(response));
  if (changed === undefined) {
    answer.writeHead(502, { 'x-cache': 'FunctionValidationError from cloudfront' }).end();
    response.destroy();
    return;
  }
  answer.writeHead(status, changed);
  await pipeline(response, answer);
}

/** Undefined where a function changes what it may not. */
async function changedHeaders(
  { viewerResponse, originResponse }: Distribution,
  viewer: IncomingMessage,
  status: number,
  headers: Headers,
): Promise<Headers | undefined> {
  let changed: Headers | undefined = headers;
  if (originResponse !== undefined) {
    const code = readFileSync(originResponse, 'utf8');
    changed = await apply(changed, readOnly.originResponse, (visible) =>
      runOriginResponse(code, viewer, status, visible),
    );
  }
  // "CloudFront doesn't invoke edge functions for viewer response events when the origin returns HTTP status code 400 or
  // higher."
  if (changed !== undefined && viewerResponse !== undefined && status < 400) {
    const code = readFileSync(viewerResponse, 'utf8');
    changed = await apply(changed, readOnly.viewerResponse, (visible) =>
      runViewerResponse(code, viewer, status, visible),
    );
  }
  return changed;
}

async function apply(
  headers: Headers,
  fixed: readonly string[],
  run: (visible: Headers) => Headers | Promise<Headers>,
): Promise<Headers | undefined> {
  const visible = withoutDisallowed(headers);
  const result = await run(visible);
  const isValid =
    Object.keys(withoutDisallowed(result)).length === Object.keys(result).length &&
    fixed.every((name) => result[name] === visible[name]);
  const hidden = Object.fromEntries(Object.entries(headers).filter(([name]) => !(name in visible)));
  return isValid ? { ...hidden, ...result } : undefined;
}

function headersOf({ headersDistinct }: IncomingMessage): Headers {
  return Object.fromEntries(
    Object.entries(headersDistinct)
      .filter(([name]) => !['connection', 'keep-alive'].includes(name))
      .map(([name, values]) => [name, (values ?? []).join(', ')]),
  );
}
