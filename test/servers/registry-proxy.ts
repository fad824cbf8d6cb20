import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listen } from './listen.ts';

/** An answer in place of the registry's. */
export interface RegistryAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/**
 * What becomes of a request: nothing special; its connection is cut before it reaches the registry, or in the middle of the body of the
 * answer; one byte of that body is another; the body stops in its middle, or nothing comes at all; another answer.
 */
export type RegistryFate = 'pass' | 'drop' | 'cut' | 'corrupt' | 'stall-body' | 'stall' | RegistryAnswer;

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/** A proxy before a registry that counts requests and breaks them. */
export interface RegistryProxy {
  readonly url: URL;
  /** Since the last reset. */
  readonly requests: readonly SeenRequest[];
  /** @param index of the request since the last reset, from 0 */
  fate: (request: SeenRequest, index: number) => RegistryFate;
  /** Forgets the requests, and lets all pass. */
  reset(): void;
  stop(): Promise<void>;
}

/** @param upstream base URL of the registry, which gets the client's Host header, so that its URLs lead back here */
export async function registryProxy(upstream: string): Promise<RegistryProxy> {
  const requests: SeenRequest[] = [];
  const proxy: Pick<RegistryProxy, 'fate'> = { fate: () => 'pass' };
  const server = createServer((incoming, answer) => {
    const { method = '', url = '', headers } = incoming;
    const seen = { method, url, headers };
    requests.push(seen);
    const fate = proxy.fate(seen, requests.length - 1);
    if (fate === 'stall') return;
    if (fate === 'drop') incoming.socket.destroy();
    else if (typeof fate === 'object') answer.writeHead(fate.status, fate.headers).end(fate.body);
    else pass(upstream, incoming, answer, fate).catch(() => answer.destroy());
  });
  const listening = await listen(server);
  return {
    url: new URL(listening.url),
    requests,
    get fate() {
      return proxy.fate;
    },
    set fate(fate) {
      proxy.fate = fate;
    },
    reset: () => {
      requests.length = 0;
      proxy.fate = () => 'pass';
    },
    stop: async () => {
      await listening.stop();
    },
  };
}

async function pass(
  upstream: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  fate: Exclude<RegistryFate, 'drop' | 'stall' | RegistryAnswer>,
): Promise<void> {
  const { method, url = '/', headers } = incoming;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request(new URL(url, upstream), { method, headers, agent: false }, resolve);
    outgoing.once('error', reject);
    incoming.pipe(outgoing);
  });
  const body = await buffer(response);
  answer.writeHead(response.statusCode ?? 502, response.rawHeaders);
  const middle = Math.floor(body.length / 2);
  if (fate === 'corrupt' && body.length > 0) body[middle] = (body[middle] ?? 0) ^ 1;
  if (fate === 'pass' || fate === 'corrupt') answer.end(body);
  else {
    answer.flushHeaders();
    answer.write(body.subarray(0, middle), () => {
      if (fate === 'cut') incoming.socket.destroy();
    });
  }
}
