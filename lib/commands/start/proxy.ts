import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { discardUnread } from '../../http/error-responses.ts';
import { usualLimits } from '../../http/limits.ts';
import { requestTarget } from '../../http/request-target.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { parseRoute } from '../../protocol/routes.ts';
import { lastResponses } from '../../server/connections.ts';
import { Drain } from '../../server/drain.ts';
import { RequestCheck } from '../../server/valid-requests.ts';

/** Where both planes listen on this machine. */
export interface Planes {
  /** Ports of 127.0.0.1. */
  readonly functions: number;
  readonly dataPlane: number;
  /** The bases of the URLs that the planes make for this address, without a trailing slash. */
  readonly urls: readonly string[];
}

/** A proxy that is listening. */
export interface LocalProxy {
  /** Requests that have no complete response. */
  inFlight(): number;
  /** Takes no new requests, and waits for those in flight. */
  drain(timeoutMs: number): Promise<void>;
}

const host = '127.0.0.1';

/**
 * Serves functions and data plane at one port of 127.0.0.1, as docs/functions.md has nginx do it: the data plane gets uploads
 * in progress and signed URLs of blobs. Bodies are streamed in both directions.
 * @throws Error if it cannot listen
 */
export async function startProxy(port: number, planes: Planes): Promise<LocalProxy> {
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: usualLimits.idleTimeoutMs });
  const check = new RequestCheck(server, lastResponses(server), usualLimits.lingerMs);
  const drain = new Drain(server);
  server.on('request', (incoming, response) => {
    if (!check.admits(incoming, response)) return;
    drain.add(response, Promise.resolve());
    forward(incoming, response, planes);
  });
  // The upstream says whether it wants the body.
  server.on('checkContinue', (incoming, response) => server.emit('request', incoming, response));
  server.listen(port, host);
  await once(server, 'listening');
  return {
    inFlight: () => drain.requests,
    drain: async (timeoutMs) => {
      await drain.end(timeoutMs);
    },
  };
}

function forward(incoming: IncomingMessage, response: ServerResponse, planes: Planes): void {
  const toDataPlane = isForDataPlane(incoming);
  const outgoing = request({
    host,
    port: toDataPlane ? planes.dataPlane : planes.functions,
    method: incoming.method,
    path: incoming.url,
    headers: requestHeaders(incoming),
    // A kept connection may be closed by the upstream in the moment in which it is used.
    agent: false,
  });
  outgoing.on('continue', () => {
    response.writeContinue();
  });
  outgoing.once('response', (upstream) => {
    respond(incoming, response, upstream, planes.urls);
  });
  outgoing.on('error', () => {
    fail(incoming, response, toDataPlane ? 'data plane' : 'functions');
  });
  response.once('close', () => {
    if (!response.writableFinished) outgoing.destroy();
  });
  outgoing.flushHeaders();
  // Not a pipeline: an upstream may respond, and stop reading, before the body has ended.
  incoming.pipe(outgoing);
}

/** Whether it continues an upload or reads a blob by a signed URL. The functions reject invalid paths. */
function isForDataPlane(incoming: IncomingMessage): boolean {
  const { path, query } = requestTarget(incoming);
  try {
    const route = parseRoute(path);
    if (route.group === 'uploads') return route.id !== undefined;
    return route.group === 'blobs' && new URLSearchParams(query).has('signature');
  } catch {
    return false;
  }
}

function respond(
  incoming: IncomingMessage,
  response: ServerResponse,
  upstream: IncomingMessage,
  urls: readonly string[],
): void {
  response.writeHead(upstream.statusCode ?? 502, responseHeaders(upstream, urls, incoming.headers.host));
  response.flushHeaders();
  upstream.once('error', () => response.destroy());
  upstream.once('end', () => {
    discardRest(incoming, response);
  });
  upstream.pipe(response);
}

/** An upstream has responded, and takes no more of the body. */
function discardRest(incoming: IncomingMessage, response: ServerResponse): void {
  incoming.unpipe();
  discardUnread({ req: incoming, res: response }, usualLimits.lingerMs);
}

/** Reports that an upstream gave no response. After a response, it may take no more of the body. */
function fail(incoming: IncomingMessage, response: ServerResponse, upstream: string): void {
  incoming.unpipe();
  if (response.headersSent || response.destroyed) {
    incoming.resume();
    return;
  }
  const { body } = new RegistryError('UNAVAILABLE', `the ${upstream} of this registry gave no response`);
  discardRest(incoming, response);
  response.writeHead(502, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

/** Headers of one connection only (RFC 9110, section 7.6.1). `Transfer-Encoding` makes Node encode the body again. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'upgrade',
]);

/** Headers that `Connection` must not name: they are for whoever gets the message, or say where it ends. */
const endToEnd: ReadonlySet<string> = new Set([
  'authorization',
  'content-length',
  'host',
  'transfer-encoding',
]);

function requestHeaders({ headers, method = '', rawHeaders }: IncomingMessage): string[] {
  const isWithoutLength =
    headers['content-length'] === undefined && headers['transfer-encoding'] === undefined;
  // Without a length, Node would send a chunked body.
  const noBody =
    isWithoutLength && !['GET', 'HEAD', 'DELETE', 'OPTIONS'].includes(method) ? ['Content-Length', '0'] : [];
  return [...passedHeaders(rawHeaders, headers.connection), ...noBody, 'Connection', 'close'];
}

/** A client stays at the name by which it found the registry: some refuse another one, even for the same address. */
function responseHeaders(
  { headers, rawHeaders }: IncomingMessage,
  urls: readonly string[],
  clientHost: string | undefined,
): string[] {
  const passed = passedHeaders(rawHeaders, headers.connection);
  return passed.map((text, index) => {
    const name = index % 2 === 1 ? passed[index - 1]?.toLowerCase() : undefined;
    if (name === 'location') return replaceBase(text, urls, '', '');
    return name === 'www-authenticate' && clientHost !== undefined
      ? replaceBase(text, urls, 'realm="', `http://${clientHost}`)
      : text;
  });
}

/** Replaces the base of the URL that follows a text. */
function replaceBase(value: string, urls: readonly string[], before: string, base: string): string {
  const start = value.indexOf(before) + before.length;
  const own = urls.find((url) => value.startsWith(`${url}/`, start));
  return own === undefined ? value : value.slice(0, start) + base + value.slice(start + own.length);
}

/** @param raw alternating names and values @param connection names further headers of the connection */
function passedHeaders(raw: readonly string[], connection = ''): string[] {
  const named = new Set(connection.toLowerCase().split(/[\s,]+/));
  return raw.filter((_, index) => {
    const name = raw[index - (index % 2)]?.toLowerCase() ?? '';
    return !hopByHop.has(name) && (!named.has(name) || endToEnd.has(name));
  });
}
