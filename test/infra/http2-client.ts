import { once } from 'node:events';
import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';

export type Headers = IncomingHttpHeaders & IncomingHttpStatusHeader;

/** A connection of HTTP/2, on which errors do no harm. */
export async function openSession(url: string): Promise<ClientHttp2Session> {
  const session = connect(url, { maxSessionMemory: 1000 });
  session.on('error', () => undefined);
  await once(session, 'remoteSettings');
  return session;
}

/** A request whose body is sent by the caller. */
export function open(
  session: ClientHttp2Session,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): ClientHttp2Stream {
  const endStream = method === 'GET' || method === 'HEAD' || method === 'DELETE';
  const stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream });
  return stream.on('error', () => undefined);
}

/**
 * A request whose body stays open until its client cancels it. Node's client ends the body of a stream that it resets, and mostly sends
 * that end first: a server may then answer a whole request. It sends none while trailers may follow.
 */
export function openForCancel(session: ClientHttp2Session, method: string, path: string): ClientHttp2Stream {
  const options = { endStream: false, waitForTrailers: true };
  return session.request({ ':method': method, ':path': path }, options).on('error', () => undefined);
}

export async function headersOf(stream: ClientHttp2Stream): Promise<Headers> {
  const [headers] = (await once(stream, 'response')) as [Headers];
  return headers;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

export async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const headers = await headersOf(stream);
  let body = '';
  for await (const piece of stream.setEncoding('utf8') as AsyncIterable<string>) body += piece;
  return { status: headers[':status'] ?? 0, headers, body };
}

/** Sends a whole request. */
export async function ask(
  session: ClientHttp2Session,
  method: string,
  path: string,
  body?: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const stream = open(session, method, path, headers);
  const answer = answerOf(stream);
  if (!stream.writableEnded) stream.end(body);
  return await answer;
}
