import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { listen, type Listening } from '../servers/listen.ts';
import { testCertificate, testKey } from '../servers/certificate.ts';

/** A request that a receiver of events got. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver of webhooks. */
export interface Receiver extends Listening {
  readonly received: readonly Received[];
  /** Answers all requests from now on. */
  answer(with_: Answer): void;
}

/** @param count how many requests there were before */
export type Answer = (response: ServerResponse, request: Received, count: number) => void;

/** Answers 200 unless it is told otherwise. */
export async function receiver({ tls = false } = {}): Promise<Receiver> {
  const received: Received[] = [];
  let answer: Answer = (response) => response.end();
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '', headers } = request;
    const one = { method, path: url, headers, body: await text(request) };
    received.push(one);
    answer(response, one, received.length - 1);
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    // A client that hangs up while it sends.
    handle(request, response).catch(() => response.destroy());
  };
  const server = tls
    ? createSecureServer({ cert: testCertificate, key: testKey }, onRequest)
    : createServer(onRequest);
  const listening = await listen(server);
  return {
    ...listening,
    url: tls ? listening.url.replace('http:', 'https:') : listening.url,
    received,
    answer: (with_) => {
      answer = with_;
    },
  };
}
