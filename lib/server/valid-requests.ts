import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { dropUnread } from '../http/app.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { LastAnswers } from './connections.ts';

/*
 * Which requests are valid HTTP, and the answers to those that are not, in the form of the spec. A request that two servers
 * in a row could read in two ways (request smuggling) is refused, and its connection ends with that.
 */

/** A server's check of what comes in, before anything is done for it. */
export class RequestCheck {
  readonly #answers: LastAnswers;
  readonly #farewell: number;
  /** Connections that end with an answer that is on its way: what follows on them is not worked on. */
  readonly #ending = new WeakSet<Duplex>();

  /** @param farewell milliseconds for a client that still sends to notice that it has been answered */
  constructor(server: Server, answers: LastAnswers, farewell: number) {
    this.#answers = answers;
    this.#farewell = farewell;
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      this.#refuseUnreadable(error, socket);
    });
    // Node leaves the connections of this method to whoever wants to be a proxy, without a listener for their errors.
    server.on('connect', (_, socket) => {
      this.#refuseConnect(socket);
    });
    // It would be answered without a body.
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      if (!this.#ending.has(request.socket)) this.#refuse(response, new RegistryError('EXPECTATION_UNKNOWN'));
    });
  }

  /** @returns whether a request is to be worked on; else it is answered, or its connection is about to end */
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

  /** Node's own answers to what is no HTTP are not in a form that clients read. */
  #refuseUnreadable({ code = '' }: NodeJS.ErrnoException, socket: Duplex): void {
    const answer = this.#answers.get(socket);
    // Each packet is unreadable from here on, so an end that waits for one is now.
    if (!socket.writable || (this.#ending.has(socket) && answer?.writableFinished === true)) socket.destroy();
    else if (this.#ending.has(socket)) return;
    else if (answer === undefined || answer.writableFinished || answer.req.complete)
      this.#answerLast(socket, unreadable(code));
    // It has begun, or others come before it.
    else if (answer.headersSent || answer.socket === null) socket.destroy();
    else socket.end(rawAnswer(unreadable(code)));
    this.#ending.add(socket);
  }

  #refuseConnect(socket: Duplex): void {
    socket.on('error', () => undefined);
    if (!this.#ending.has(socket)) this.#answerLast(socket, new RegistryError('REQUEST_INVALID'));
    this.#ending.add(socket);
    // Bytes that nobody reads would make the end a reset, which takes the answer away.
    socket.resume();
    setTimeout(() => socket.destroy(), this.#farewell).unref();
  }

  /** Ends a connection with an answer, after those to what was asked before: it would be taken for one of them. */
  #answerLast(socket: Duplex, error: RegistryError): void {
    const before = this.#answers.get(socket);
    const send = () => {
      if (!socket.writableEnded) socket.end(rawAnswer(error));
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
  return url?.includes('#') === true ? 'the target of a request has no fragment (#)' : undefined;
}

function unreadable(code: string): RegistryError {
  if (code === 'HPE_HEADER_OVERFLOW') return new RegistryError('HEADERS_TOO_LARGE');
  return new RegistryError(code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'REQUEST_LATE' : 'REQUEST_INVALID');
}

function rawAnswer({ status, body }: RegistryError): string {
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
