import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { dropUnread } from '../http/app.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { LastResponses } from './connections.ts';

/*
 * Rejects requests that are not valid HTTP, with errors in the form of the spec. A request that two servers in a row could
 * read differently (request smuggling) is rejected and its connection closed.
 */

/** Checks each request before any work is done for it. */
export class RequestCheck {
  readonly #responses: LastResponses;
  readonly #farewell: number;
  /** Connections that close after the response in progress. Later requests on them are ignored. */
  readonly #ending = new WeakSet<Duplex>();

  /** @param farewell milliseconds in which a client that is still sending can read the response */
  constructor(server: Server, responses: LastResponses, farewell: number) {
    this.#responses = responses;
    this.#farewell = farewell;
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      this.#refuseUnreadable(error, socket);
    });
    // Node leaves the connections of this method to whoever wants to be a proxy, without a listener for their errors.
    server.on('connect', (_, socket) => {
      this.#refuseConnect(socket);
    });
    // Node's own response has no body.
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      if (!this.#ending.has(request.socket)) this.#refuse(response, new RegistryError('EXPECTATION_UNKNOWN'));
    });
  }

  /** @returns whether the request is to be handled; otherwise it was answered here, or its connection is closing */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    const { socket, headers } = request;
    if (this.#ending.has(socket)) return false;
    const fault = faultOf(request);
    if (fault !== undefined) this.#refuse(response, new RegistryError('REQUEST_INVALID', fault));
    // It is answered as if it did not ask for that (RFC 9110, section 7.8), but Node's parser skips what came with it and
    // would go on in the middle of something.
    else if (headers.upgrade !== undefined) this.#endAfter(response);
    return fault === undefined;
  }

  #endAfter(response: ServerResponse): void {
    this.#ending.add(response.req.socket);
    response.shouldKeepAlive = false;
  }

  #refuse(response: ServerResponse, { status, body }: RegistryError): void {
    this.#endAfter(response);
    if (bringsBody(response.req)) dropUnread({ req: response.req, res: response }, this.#farewell);
    response.statusCode = status;
    response.setHeader('Content-Type', 'application/json');
    response.end(body);
  }

  /** Node's own responses to invalid HTTP are not in the form that clients expect. */
  #refuseUnreadable({ code = '' }: NodeJS.ErrnoException, socket: Duplex): void {
    const response = this.#responses.get(socket);
    // Each packet is unreadable from here on, so an end that waits for one is now.
    if (!socket.writable || (this.#ending.has(socket) && response?.writableFinished === true))
      socket.destroy();
    else if (this.#ending.has(socket)) return;
    else if (response === undefined || response.writableFinished || response.req.complete)
      this.#sendLast(socket, unreadable(code));
    // It has begun, or others come before it.
    else if (response.headersSent || response.socket === null) socket.destroy();
    else socket.end(rawResponse(unreadable(code)));
    this.#ending.add(socket);
  }

  #refuseConnect(socket: Duplex): void {
    socket.on('error', () => undefined);
    if (!this.#ending.has(socket)) this.#sendLast(socket, new RegistryError('REQUEST_INVALID'));
    this.#ending.add(socket);
    // Unread bytes would turn the close into a reset, and the client would lose the response.
    socket.resume();
    setTimeout(() => socket.destroy(), this.#farewell).unref();
  }

  /** Sends a response after those to earlier requests, so that it is not taken for one of them, and closes the connection. */
  #sendLast(socket: Duplex, error: RegistryError): void {
    const before = this.#responses.get(socket);
    const send = () => {
      if (!socket.writableEnded) socket.end(rawResponse(error));
    };
    if (before === undefined || before.writableFinished) send();
    else before.once('finish', send);
  }
}

/** Whether a request has a body whose end can be told. */
function bringsBody({ headers }: IncomingMessage): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': encoding = '' } = headers;
  return length !== '0' || /(?:^|,)\s*chunked$/i.test(encoding);
}

/** A name or an address, and perhaps a port: RFC 9112, section 3.2, without what no host's name has. */
const host = /^(?:[\w.~-]+|\[[\da-f:.]+\])(?::\d{0,5})?$/i;

/** What is wrong with a request that Node's parser has taken; undefined for nothing. */
function faultOf({ httpVersion, headers, headersDistinct, url }: IncomingMessage): string | undefined {
  const [hosts, encoding] = [headersDistinct['host'] ?? [], headers['transfer-encoding']];
  const isOld = httpVersion === '1.0';
  if (!isOld && httpVersion !== '1.1') return 'the versions of HTTP that are spoken here are 1.1 and 1.0';
  // Only the oldest clients need not say it.
  if (hosts.length > 1 || (hosts.length === 0 && !isOld) || !hosts.every((one) => host.test(one)))
    return 'the header Host must be there once, with a host and perhaps a port';
  // RFC 9112, section 6.1. HTTP/1.0 knows no such header.
  if (encoding !== undefined && (isOld || encoding.toLowerCase() !== 'chunked'))
    return 'the header Transfer-Encoding takes nothing but chunked, and that not in version 1.0 of HTTP';
  // RFC 9110, section 4.2.4. A path would be logged with the password.
  if (/^[a-z][a-z\d+.-]*:\/\/[^/?#]*@/i.test(url ?? ''))
    return 'the target of a request has no user or password';
  return url?.includes('#') === true ? 'the target of a request has no fragment (#)' : undefined;
}

function unreadable(code: string): RegistryError {
  if (code === 'HPE_HEADER_OVERFLOW') return new RegistryError('HEADERS_TOO_LARGE');
  return new RegistryError(code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'REQUEST_LATE' : 'REQUEST_INVALID');
}

function rawResponse({ status, body }: RegistryError): string {
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
