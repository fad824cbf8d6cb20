import {
  request as httpRequest,
  type Agent,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { assertPublicHost, publicLookup } from './addresses.ts';

/** A request to a host that a setting or an answer names. */
export interface OutboundRequest {
  readonly method: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
  /** Milliseconds until the headers of the response, and between any two pieces of its body. */
  readonly timeoutMs: number;
  /** Permits addresses that are not public. Otherwise, the setting that would, as the end of a message: `set … if that is meant`. */
  readonly privateAddresses: 'permitted' | { readonly remedy: string };
  /** Keeps connections for other requests with the same permission; by default each request has its own. */
  readonly agent?: Agent;
  readonly signal?: AbortSignal;
}

/** The host did not answer in time. */
export class OutboundTimeout extends Error {
  override readonly name = 'OutboundTimeout';

  constructor({ host }: URL, ms: number) {
    super(`${host} has not answered within ${ms} ms`);
  }
}

/**
 * Sends a request. Redirects are answers like any other. The caller reads the body to its end, or destroys it.
 * @throws AddressRefused, OutboundTimeout, or an error of the connection
 */
export async function send(url: URL, request: OutboundRequest): Promise<IncomingMessage> {
  const { method, headers = {}, body, timeoutMs, privateAddresses, agent, signal } = request;
  if (privateAddresses !== 'permitted') assertPublicHost(url, privateAddresses.remedy);
  const lookup = privateAddresses === 'permitted' ? {} : { lookup: publicLookup(privateAddresses.remedy) };
  return await new Promise((resolve, reject) => {
    const options = { method, headers, agent: agent ?? false, timeout: timeoutMs, ...lookup };
    const sent = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      ...options,
      ...(signal && { signal }),
    });
    const fail = (error: Error) => {
      clearTimeout(deadline);
      reject(error);
    };
    const deadline = setTimeout(() => {
      const late = new OutboundTimeout(url, timeoutMs);
      // What is destroyed already tells nobody.
      fail(late);
      sent.destroy(late);
    }, timeoutMs);
    sent.once('response', (response) => {
      clearTimeout(deadline);
      // Whoever reads the body learns of an error; nobody else needs to.
      response.on('error', () => undefined);
      response.setTimeout(timeoutMs, () => response.destroy(new OutboundTimeout(url, timeoutMs)));
      resolve(response);
    });
    // There may be more than one, also after the response.
    sent.on('error', fail);
    sent.once('upgrade', (_, socket) => {
      socket.destroy();
      fail(new Error(`${url.host} answered 101 Switching Protocols, which nobody has asked for`));
    });
    sent.once('close', () => {
      fail(new Error(`${url.host} closed the connection without a response`));
    });
    sent.end(body);
  });
}

/**
 * Reads a small body.
 * @param limit bytes; of a longer one, the first ones are returned and the connection is closed
 */
export async function readBody(response: IncomingMessage, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    pieces.push(piece);
    length += piece.byteLength;
    if (length > limit) break;
  }
  return Buffer.concat(pieces).subarray(0, limit);
}
