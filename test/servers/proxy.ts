import { once } from 'node:events';
import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';

/** What clients reach several upstreams by. */
export interface Proxy {
  /** Host and port. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Of one connection only: the proxy has its own with each side. A body announced by `Expect` is asked for here. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'expect'];

/**
 * Starts a plain proxy. It does nothing to help: no retries, no notion of an upstream that is down. Where an upstream refuses
 * the client gets a 502, and where it dies in the middle a cut connection.
 * @param choose tells the upstream of a request by its address, as `127.0.0.1:5000`
 * @param beforeResponse is awaited before the client gets the response to a request
 */
export async function startProxy(
  choose: (incoming: IncomingMessage) => string,
  beforeResponse?: (incoming: IncomingMessage) => Promise<void>,
): Promise<Proxy> {
  // Connections are not kept: one to an upstream that was killed would fail a request to its successor.
  const agent = new Agent({ keepAlive: false });
  const server = createServer((incoming, answer) => {
    const respond = async (response: IncomingMessage) => {
      await beforeResponse?.(incoming);
      answer.writeHead(response.statusCode ?? 502, withoutHopByHop(response.rawHeaders));
      await pipeline(response, answer);
    };
    pass(choose(incoming), agent, incoming, answer, respond);
  });
  server.requestTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      const closed = once(server.close(), 'close');
      server.closeAllConnections();
      await closed;
      agent.destroy();
    },
  };
}

/** The Host header stays the client's, so that the URLs the upstream makes of it lead back here. */
function pass(
  upstream: string,
  agent: Agent,
  incoming: IncomingMessage,
  answer: ServerResponse,
  respond: (response: IncomingMessage) => Promise<void>,
): void {
  const { method, url } = incoming;
  const { hostname, port } = new URL(`http://${upstream}`);
  // The path as the client wrote it, whatever characters it escaped.
  const options = { agent, hostname, port, method, path: url, headers: withoutHopByHop(incoming.rawHeaders) };
  const outgoing = request(options);
  outgoing.once('response', (response) => {
    // A failure of either side destroys the other.
    respond(response).catch(() => undefined);
  });
  outgoing.once('error', () => {
    fail(incoming, answer);
  });
  answer.once('close', () => {
    if (!answer.writableFinished) outgoing.destroy();
  });
  // Not `pipeline`: an upstream may answer, and stop reading, before the body has ended.
  incoming.pipe(outgoing);
}

/** Reports that there is no response, or that the response will not end. */
function fail(incoming: IncomingMessage, answer: ServerResponse): void {
  if (answer.headersSent || answer.destroyed) {
    answer.destroy();
    return;
  }
  incoming.unpipe();
  incoming.resume();
  answer.writeHead(502, { connection: 'close', 'content-length': 0 }).end();
}

function withoutHopByHop(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, index) => {
    const name = rawHeaders[index - (index % 2)]?.toLowerCase() ?? '';
    return !HOP_BY_HOP.includes(name);
  });
}
