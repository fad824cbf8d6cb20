import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { RegistryError, type Failure } from '../lib/protocol/errors.ts';
import type { LastAnswers } from './connections.ts';

/*
 * Which requests are valid HTTP, and the answers to those that are not, in the form of the spec.
 */

/** Node's own answers to what is no HTTP are not in a form that clients read. */
export function refuseUnreadable(server: Server, answers: LastAnswers): void {
  server.on('clientError', ({ code = '' }: NodeJS.ErrnoException, socket) => {
    const answer = answers.get(socket);
    const refusal = rawAnswer(unreadable.get(code) ?? 'REQUEST_INVALID');
    if (!socket.writable) socket.destroy();
    else if (answer === undefined || answer.writableFinished) socket.end(refusal);
    // What was asked before it gets its own answer first: this one would be taken for that.
    else if (answer.req.complete) answer.once('finish', () => socket.end(refusal));
    else if (answer.headersSent) socket.destroy();
    else socket.end(refusal);
  });
}

/** Node closes a connection to a method it leaves to proxies, and answers without a body to an expectation it does not know. */
export function refuseUnusual(server: Server): void {
  server.on('connect', (_, socket) => socket.end(rawAnswer('REQUEST_INVALID')));
  server.on('checkExpectation', (_, response: ServerResponse) => {
    refuse(response, 'EXPECTATION_UNKNOWN');
  });
}

const unreadable: ReadonlyMap<string, Failure> = new Map([
  ['HPE_HEADER_OVERFLOW', 'HEADERS_TOO_LARGE'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'REQUEST_LATE'],
]);

/** Whether a request is of a version that is spoken here, and names one host, which only the oldest need not (RFC 9112, section 3.2). */
export function isValid({ httpVersion, rawHeaders }: IncomingMessage): boolean {
  const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length;
  return (httpVersion === '1.1' && hosts === 1) || (httpVersion === '1.0' && hosts < 2);
}

/** Answers a request that can be read but is not valid. */
export function refuse(response: ServerResponse, failure: Failure = 'REQUEST_INVALID'): void {
  const { status, errors } = new RegistryError(failure);
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ errors }));
}

function rawAnswer(failure: Failure): string {
  const { status, errors } = new RegistryError(failure);
  const body = JSON.stringify({ errors });
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
