import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { request as plainRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { Destinations } from './destinations.ts';
import { SmokeFailure } from './failure.ts';
import type { Ask, Reply } from './messages.ts';

/** Milliseconds that a response may take, with its body: more than the 30 s of API Gateway, and for a large layer. */
const timeoutMs = 60_000;
const largeTimeoutMs = 300_000;

/** Bytes of a body above which it is large. */
const largeBody = 1024 * 1024;

/** Bytes of a response: more than the largest layer that is pushed. */
const maxBody = 20 * 1024 * 1024;

/** As docker has it, which follows 10. */
const maxRedirects = 10;

/**
 * Sends a request as it is, and follows nothing.
 * @param stop ends it
 * @throws SmokeFailure where there is no whole response, or the URL may not be used
 */
export async function send(ask: Ask, destinations: Destinations, stop: AbortSignal): Promise<Reply> {
  const asked = describe(ask);
  const large = ask.large === true || (ask.body?.byteLength ?? 0) > largeBody;
  const limit = large ? largeTimeoutMs : timeoutMs;
  const timeout = AbortSignal.timeout(limit);
  const signal = AbortSignal.any([timeout, stop]);
  try {
    const addresses = await destinations.addressesOf(ask.url, asked);
    const response = await responseTo(ask, addresses, signal);
    const body = await readBody(response);
    return { status: response.statusCode ?? 0, headers: response.headers, body, asked, url: ask.url };
  } catch (error) {
    if (error instanceof SmokeFailure) throw error;
    if (stop.aborted)
      throw new SmokeFailure({ asked, came: 'no response until this was stopped', change: 'Run it again' });
    throw new SmokeFailure({
      asked,
      came: timeout.aborted
        ? `no response within ${limit / 1000} s`
        : `no response: ${reasonOf(error as Error)}`,
      change: timeout.aborted
        ? 'Whatever stands before the registry must wait as long as a push takes, and pass bodies on while they come. If nothing is answered at all, look whether a firewall drops packets, and whether the program at this port is the registry'
        : changeFor(error as NodeJS.ErrnoException),
    });
  }
}

/** Sends a request for reading, and follows redirects as clients do: another host gets no credentials. */
export async function sendFollowing(
  ask: Ask,
  sendOne: (ask: Ask) => Promise<Reply>,
  onRedirect: (target: URL) => void,
): Promise<Reply> {
  let reply = await sendOne(ask);
  let { headers = {} } = ask;
  for (let count = 0; isRedirect(reply); count++) {
    const { location } = reply.headers;
    const target = location === undefined ? null : URL.parse(location, reply.url.href);
    if (target === null || count === maxRedirects) failRedirect(reply, target);
    onRedirect(target);
    if (target.host !== reply.url.host) headers = withoutCredentials(headers);
    reply = await sendOne({ ...ask, url: target, headers });
  }
  return reply;
}

function failRedirect(reply: Reply, target: URL | null): never {
  throw new SmokeFailure({
    asked: reply.asked,
    came:
      target === null
        ? `${reply.status} without a Location that is a URL`
        : `more than ${maxRedirects} redirects, the last to ${target.origin}`,
    change:
      'A redirect must lead to where the bytes are: look for proxies that redirect, such as to https or to another path',
  });
}

export function isRedirect({ status }: Reply): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'),
  );
}

/** By codes of Node and OpenSSL. */
function changeFor({ code = '' }: NodeJS.ErrnoException): string {
  if (code === 'ENOTFOUND') return 'DNS does not know the host: check its spelling, and its record';
  if (code === 'ECONNREFUSED')
    return 'Nothing listens at this port: check the port, and that the registry runs';
  if (/CERT|ISSUER|ALTNAME/.test(code))
    return 'The certificate must be valid for the host. If an authority of your own has issued it, name the file with its certificate in NODE_EXTRA_CA_CERTS';
  return 'Check the host and port, and whether it is http or https; a proxy must not cut requests off';
}

function describe({ method, url, chunked, body }: Ask): string {
  const size = body === undefined ? '' : ` with ${body.byteLength} bytes`;
  return `${method} ${url.origin}${url.pathname}${size}${chunked === true ? ' and no Content-Length' : ''}`;
}

/** A response may come, and the connection be closed, before the whole body was sent. */
async function responseTo(
  ask: Ask,
  addresses: LookupAddress[],
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { method, url, headers = {}, body, chunked = false } = ask;
  const hasBody = body !== undefined || !['GET', 'HEAD'].includes(method);
  // Without either, Node announces the length of a body that it has whole.
  const length = chunked
    ? { 'transfer-encoding': 'chunked' }
    : { 'content-length': String(body?.byteLength ?? 0) };
  const start = url.protocol === 'https:' ? tlsRequest : plainRequest;
  const outgoing: ClientRequest = start(url, {
    method,
    headers: { 'user-agent': 'stowage-smoke', ...(hasBody ? length : {}), ...headers },
    agent: false,
    // In the place of the resolver, which could answer otherwise this time.
    lookup: (_, { all }, found) => {
      if (all === true) found(null, addresses);
      else found(null, addresses[0]?.address ?? '', addresses[0]?.family);
    },
    signal,
  });
  outgoing.on('error', () => undefined);
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response', { signal })) as [IncomingMessage];
  return response;
}

async function readBody(response: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > maxBody) throw new Error(`the body has more than ${maxBody} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function reasonOf(error: Error): string {
  return error.message === '' && 'code' in error ? String(error.code) : error.message;
}
