import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { finished, pipeline } from 'node:stream/promises';

/** A request to a bucket, as S3 names it. */
export interface BucketRequest {
  readonly method: string;
  readonly bucket: string;
  /** Below the bucket, decoded. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** S3's name: `PutObject`. */
  readonly operation: string;
  /** Reads its body, which then does not reach the server. */
  readonly body: () => Promise<Buffer>;
}

/**
 * What is to become of a request: nothing special; its connection cut before it reaches the server, after the server has
 * done it all, one byte before the end of the answer, or in the middle of it; no answer at all; or another answer in its
 * place.
 */
export type Fate = Passed | 'drop-request' | 'stall' | Answer;

type Passed = 'pass' | 'drop-answer' | 'cut-body' | 'halve-body';

/** The server has done it all, and the answer waits. */
export interface HeldAnswer {
  readonly until: () => Promise<void>;
}

/** A request that the server gets once it was received whole and this is over, also if its sender is gone by then. */
export interface Received {
  readonly received: () => Promise<void>;
}

/** With S3's code it is an error; without, it has no body. */
export interface Answer {
  readonly status: number;
  readonly code?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** @param index of the request since the last reset, from 0 */
export type Intercept = (
  request: BucketRequest,
  index: number,
) => Fate | HeldAnswer | Received | Promise<Fate | HeldAnswer | Received>;

/** A proxy before an S3 server that counts requests and injects faults. */
export interface BucketProxy {
  readonly endpoint: string;
  /** Since the last reset, in the order they came. */
  readonly requests: readonly BucketRequest[];
  intercept: Intercept;
  /** Milliseconds by which objects and multipart uploads look older than they are; 0 at first. */
  agedMs: number;
  /** Forgets the requests and lets all pass, with their age. */
  reset(): void;
  /** Resolves when no request is in flight, here or at the server behind. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a proxy. What passes is not changed in any way: the client signs for the proxy's own address, which the server
 * finds in the Host header.
 * @param upstream base URL of the S3 server
 * @param added headers that requests get, which their signatures do not have
 */
export async function bucketProxy(
  upstream: string,
  added: Readonly<Record<string, string>> = {},
): Promise<BucketProxy> {
  const requests: BucketRequest[] = [];
  const agent = new Agent({ keepAlive: true });
  const passAll: Intercept = () => 'pass';
  const proxy = { intercept: passAll, agedMs: 0 };
  const handle = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const seen = describeRequest(incoming);
    requests.push(seen);
    const fate = await proxy.intercept(seen, requests.length - 1);
    if (typeof fate === 'object' && 'status' in fate) await answerInPlace(incoming, answer, fate);
    else if (typeof fate === 'object' && 'received' in fate) {
      const body = await buffer(incoming);
      await fate.received();
      await pass(upstream, agent, incoming, answer, 'pass', { added, agedMs: proxy.agedMs, body });
    } else if (fate === 'drop-request') incoming.socket.destroy();
    else if (fate === 'stall')
      await finished(incoming.resume()).then(async () => await closed(incoming.socket));
    else await pass(upstream, agent, incoming, answer, fate, { added, agedMs: proxy.agedMs });
  };
  const underWay = new Set<Promise<void>>();
  const server = createServer((incoming, answer) => {
    const work = handle(incoming, answer).catch(() => {
      answer.destroy();
    });
    underWay.add(work);
    void work.finally(() => underWay.delete(work));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get intercept() {
      return proxy.intercept;
    },
    set intercept(intercept) {
      proxy.intercept = intercept;
    },
    get agedMs() {
      return proxy.agedMs;
    },
    set agedMs(agedMs) {
      proxy.agedMs = agedMs;
    },
    reset: () => {
      requests.length = 0;
      proxy.intercept = passAll;
      proxy.agedMs = 0;
    },
    settled: async () => {
      while (underWay.size > 0) await Promise.all(underWay);
    },
    stop: async () => {
      await close(server);
      agent.destroy();
    },
  };
}

async function close(server: Server): Promise<void> {
  const closed = once(server.close(), 'close');
  server.closeAllConnections();
  await closed;
}

interface PassOptions {
  readonly added: Readonly<Record<string, string>>;
  readonly agedMs: number;
  /** Of a request that was received whole. */
  readonly body?: Buffer;
}

async function pass(
  upstream: string,
  agent: Agent,
  incoming: IncomingMessage,
  answer: ServerResponse,
  fate: Passed | HeldAnswer,
  { added, agedMs, body: received }: PassOptions,
): Promise<void> {
  const { method, url = '/' } = incoming;
  const headers = { ...incoming.headers, ...added };
  const outgoing = request(new URL(url, upstream), { agent, method, headers });
  // Node would encode again what the client has signed.
  outgoing.path = url;
  // It may fail a second time, when nothing awaits it any more.
  outgoing.on('error', () => undefined);
  const [[response]] = await Promise.all([
    once(outgoing, 'response') as Promise<[IncomingMessage]>,
    received === undefined ? pipeline(incoming, outgoing) : outgoing.end(received),
  ]);
  if (typeof fate === 'object') await fate.until();
  if (fate === 'pass' && agedMs > 0) {
    await sendAged(response, answer, agedMs);
    return;
  }
  if (fate === 'pass' || typeof fate === 'object') {
    answer.writeHead(response.statusCode ?? 500, response.rawHeaders);
    await pipeline(response, answer);
    return;
  }
  if (fate === 'cut-body' || fate === 'halve-body') {
    const body = await buffer(response);
    const end = fate === 'cut-body' ? body.length - 1 : Math.floor(body.length / 2);
    answer.writeHead(response.statusCode ?? 500, response.rawHeaders);
    if (end <= 0) answer.flushHeaders();
    answer.write(body.subarray(0, Math.max(0, end)), () => incoming.socket.destroy());
    return;
  }
  await finished(response.resume());
  incoming.socket.destroy();
}

/** Dates of lists, and of objects in headers (API reference of ListObjectsV2, ListMultipartUploads and GetObject). */
async function sendAged(response: IncomingMessage, answer: ServerResponse, ms: number): Promise<void> {
  const earlier = (date: string) => new Date(Date.parse(date) - ms);
  const body = await buffer(response);
  const isXml = response.headers['content-type']?.includes('xml') === true;
  const dates = /(?<=<(LastModified|Initiated)>)[^<]+/g;
  const aged = isXml
    ? Buffer.from(body.toString().replace(dates, (date) => earlier(date).toISOString()))
    : body;
  const { 'last-modified': modified, ...headers } = response.headers;
  delete headers['transfer-encoding'];
  if (modified !== undefined) headers['last-modified'] = earlier(modified).toUTCString();
  if (aged.length > 0) headers['content-length'] = String(aged.length);
  answer.writeHead(response.statusCode ?? 500, headers).end(aged);
}

async function closed(socket: Socket): Promise<void> {
  if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
}

async function answerInPlace(
  incoming: IncomingMessage,
  answer: ServerResponse,
  { status, code, headers }: Answer,
): Promise<void> {
  if (!incoming.complete) await finished(incoming.resume());
  const error = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code ?? ''}</Code><Message>from the test</Message></Error>`;
  const body = code === undefined ? '' : error;
  answer.writeHead(status, { 'content-type': 'application/xml', 'content-length': body.length, ...headers });
  answer.end(incoming.method === 'HEAD' ? undefined : body);
}

function describeRequest(incoming: IncomingMessage): BucketRequest {
  const { method = 'GET', url = '/', headers } = incoming;
  const { pathname, searchParams: query } = new URL(url, 'http://bucket');
  const [, bucket = '', ...key] = pathname.split('/').map(decodeURIComponent);
  const seen = { method, bucket, key: key.join('/'), query, headers };
  const operation = operationOf(seen, headers['x-amz-copy-source'] !== undefined);
  return { ...seen, operation, body: async () => await buffer(incoming) };
}

/** S3's name of a request ("Actions" in its API Reference). */
function operationOf(
  { method, key, query }: Pick<BucketRequest, 'method' | 'key' | 'query'>,
  copies: boolean,
): string {
  const inUpload = query.has('uploadId');
  const names: Record<string, string> =
    key === ''
      ? { GET: query.has('uploads') ? 'ListMultipartUploads' : 'ListObjectsV2', POST: 'DeleteObjects' }
      : {
          HEAD: 'HeadObject',
          GET: 'GetObject',
          PUT: `${inUpload ? 'UploadPart' : copies ? '' : 'PutObject'}${copies ? (inUpload ? 'Copy' : 'CopyObject') : ''}`,
          POST: inUpload ? 'CompleteMultipartUpload' : 'CreateMultipartUpload',
          DELETE: inUpload ? 'AbortMultipartUpload' : 'DeleteObject',
        };
  return names[method] ?? `${method} of ${key === '' ? 'the bucket' : 'an object'}`;
}
