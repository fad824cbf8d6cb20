import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { discardUnread } from '../http/error-responses.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { LastResponses } from './connections.ts';

/**
 * Rejects invalid HTTP with errors in the form of the spec. Requests that two servers in a row could parse differently
 * (request smuggling) are rejected and their connections closed.
 */
export class RequestCheck {
  readonly #responses: LastResponses;
  readonly #lingerMs: number;
  /** Connections that close after the response in progress. Later requests on them are ignored. */
  readonly #closing = new WeakSet<Duplex>();

  constructor(server: Server, responses: LastResponses, lingerMs: number) {
    this.#responses = responses;
    this.#lingerMs = lingerMs;
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      this.#refuseUnreadable(error, socket);
    });
    // For proxies, Node hands over these sockets without an error listener.
    server.on('connect', (_, socket) => {
      this.#refuseConnect(socket);
    });
    // Node's response has no body.
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      if (!this.#closing.has(request.socket))
        this.#refuse(response, new RegistryError('EXPECTATION_UNKNOWN'));
    });
  }

  /** @returns false if the request was rejected, or its connection is closing */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    const { socket, headers } = request;
    if (this.#closing.has(socket)) return false;
    const fault = faultOf(request);
    if (fault !== undefined) this.#refuse(response, new RegistryError('REQUEST_INVALID', fault));
    // The Upgrade is ignored (RFC 9110, section 7.8). Node's parser skips bytes after it, so the connection must close.
    else if (headers.upgrade !== undefined) this.#closeAfter(response);
    return fault === undefined;
  }

  #closeAfter(response: ServerResponse): void {
    this.#closing.add(response.req.socket);
    response.shouldKeepAlive = false;
  }

  #refuse(response: ServerResponse, { status, body }: RegistryError): void {
    this.#closeAfter(response);
    if (hasBody(response.req)) discardUnread({ req: response.req, res: response }, this.#lingerMs);
    response.statusCode = status;
    response.setHeader('Content-Type', 'application/json');
    response.end(body);
  }

  /** Replaces Node's responses to invalid HTTP. */
  #refuseUnreadable({ code = '' }: NodeJS.ErrnoException, socket: Duplex): void {
    const response = this.#responses.get(socket);
    // The parser reports each further packet; close now if nothing is left to send.
    if (!socket.writable || (this.#closing.has(socket) && response?.writableFinished === true))
      socket.destroy();
    else if (this.#closing.has(socket)) return;
    else if (response === undefined || response.writableFinished || response.req.complete)
      this.#sendLast(socket, parseError(code));
    // Its response has started, or earlier ones are pending.
    else if (response.headersSent || response.socket === null) socket.destroy();
    else socket.end(rawResponse(parseError(code)));
    this.#closing.add(socket);
  }

  #refuseConnect(socket: Duplex): void {
    socket.on('error', () => undefined);
    if (!this.#closing.has(socket)) this.#sendLast(socket, new RegistryError('REQUEST_INVALID'));
    this.#closing.add(socket);
    // Unread bytes would turn the close into a reset, and the client would lose the response.
    socket.resume();
    setTimeout(() => socket.destroy(), this.#lingerMs).unref();
  }

  /** Sends a response after those to earlier requests and closes the connection. */
  #sendLast(socket: Duplex, error: RegistryError): void {
    const before = this.#responses.get(socket);
    const send = () => {
      if (!socket.writableEnded) socket.end(rawResponse(error));
    };
    if (before === undefined || before.writableFinished) send();
    else before.once('finish', send);
  }
}

/** Whether a request has a body of a known end. */
function hasBody({ headers }: IncomingMessage): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': encoding = '' } = headers;
  return length !== '0' || /(?:^|,)\s*chunked$/i.test(encoding);
}

/** A name or address with an optional port (RFC 9112, section 3.2). */
export const validHost = /^(?:[\w.~-]+|\[[\da-f:.]+\])(?::\d{0,5})?$/i;

/** The fault of a request that Node's parser has accepted. */
function faultOf({ httpVersion, headers, rawHeaders, url }: IncomingMessage): string | undefined {
  const [hosts, encoding] = [hostsOf(rawHeaders), headers['transfer-encoding']];
  const isOld = httpVersion === '1.0';
  if (!isOld && httpVersion !== '1.1') return 'the versions of HTTP that are spoken here are 1.1 and 1.0';
  // Optional only in HTTP/1.0.
  if (hosts.length > 1 || (hosts.length === 0 && !isOld) || !hosts.every((one) => validHost.test(one)))
    return 'the header Host must be there once, with a host and perhaps a port';
  // RFC 9112, section 6.1. HTTP/1.0 lacks this header.
  if (encoding !== undefined && (isOld || encoding.toLowerCase() !== 'chunked'))
    return 'the header Transfer-Encoding takes nothing but chunked, and that not in version 1.0 of HTTP';
  // RFC 9110, section 4.2.4. A path would be logged with the password.
  if (/^[a-z][a-z\d+.-]*:\/\/[^/?#]*@/i.test(url ?? ''))
    return 'the target of a request has no user or password';
  return url?.includes('#') === true ? 'the target of a request has no fragment (#)' : undefined;
}

/** All values of Host: `headers` has only the first, and `headersDistinct` would be made for this alone. */
function hostsOf(rawHeaders: readonly string[]): string[] {
  const hosts: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = [rawHeaders[at], rawHeaders[at + 1]];
    if (name.length === 4 && name.toLowerCase() === 'host') hosts.push(value);
  }
  return hosts;
}

function parseError(code: string): RegistryError {
  if (code === 'HPE_HEADER_OVERFLOW') return new RegistryError('HEADERS_TOO_LARGE');
  return new RegistryError(code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'REQUEST_LATE' : 'REQUEST_INVALID');
}

/** A response as bytes, for connections that have no request. They close after it. */
export function rawResponse({ status, body }: RegistryError): string {
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
