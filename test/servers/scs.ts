import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { finished, pipeline } from 'node:stream/promises';
import type { Answer, Fate } from './bucket-proxy.ts';
import { temporaryFolder } from './folder.ts';
import { freePort } from './ports.ts';
import { errorXml, type ScsAnswer } from './scs-answers.ts';
import { ScsRefusal } from './scs-refusal.ts';
import { read } from './scs-content.ts';
import type { ListingHabits } from './scs-listing.ts';
import { ScsObjects, type StoredObject } from './scs-objects.ts';
import { operationOf, perform, type MetadataHabit, type ScsRequest } from './scs-operations.ts';
import { verify } from './scs-signature.ts';

export type { ScsRequest } from './scs-operations.ts';

export interface ScsOptions extends ListingHabits {
  readonly accessKey?: string;
  readonly secretKey?: string;
  readonly now?: () => Date;
  /** By default `head`, the known behaviour of SCS. */
  readonly metadata?: MetadataHabit;
  /** Makes it speak https. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

/**
 * SCS as far as it is known, and no further: what is not in its protocol is refused. It shares nothing with the client
 * under test.
 */
export interface ScsServer {
  /** Base URL. */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Since the last reset, in the order they came, refused or not. */
  readonly requests: readonly ScsRequest[];
  /** Decides what becomes of a request whose signature is right. */
  intercept: (request: ScsRequest, index: number) => Fate | Promise<Fate>;
  createBucket(name: string): Promise<void>;
  /** Says from now on of a bucket that it is in another region. */
  redirect(bucket: string, endpoint: string): void;
  /** Forgets the requests and lets all pass. */
  reset(): void;
  stop(): Promise<void>;
}

/** Starts SCS at a free port of the loopback address. */
export async function startScs(options: ScsOptions = {}): Promise<ScsServer> {
  const { accessKey = 'TESTACCESSKEY0001', secretKey = 'test/secret+key=1', tls } = options;
  const folder = await temporaryFolder('scs');
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const verifier = { accessKey, secretKey, now: options.now ?? (() => new Date()) };
  const passAll = (): Fate => 'pass';
  const state = {
    buckets: new Map<string, ScsObjects>(),
    elsewhere: new Map<string, string>(),
    requests: [] as ScsRequest[],
    intercept: passAll as ScsServer['intercept'],
  };

  const find = (source: string): StoredObject => {
    const [, bucket = '', key = ''] = /^\/([^/]+)\/(.+)$/.exec(source) ?? [];
    assertEscaped(key);
    return bucketNamed(bucket).get(decodeURIComponent(key));
  };
  const bucketNamed = (name: string): ScsObjects => {
    const objects = state.buckets.get(name);
    if (objects === undefined) throw new ScsRefusal(404, 'NoSuchBucket', 'no such bucket');
    return objects;
  };

  const answerTo = async (request: ScsRequest, incoming: IncomingMessage): Promise<ScsAnswer> => {
    const { bucket, operation, target } = request;
    const elsewhere = state.elsewhere.get(bucket);
    if (elsewhere !== undefined)
      return operation === 'GetBucketLocation'
        ? { status: 200, headers: { 'x-scs-location': new URL(elsewhere).host } }
        : { status: 307, headers: { location: elsewhere + target } };
    const context = {
      ...options,
      objects: bucketNamed(bucket),
      metadata: options.metadata ?? 'head',
      host,
      find,
    };
    return await perform(request, incoming, context);
  };

  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    let fate: Fate = 'pass';
    let answer: ScsAnswer;
    let bucket = '';
    try {
      const seen = understand(incoming, (path) => {
        bucket = path;
      });
      const request = { ...seen, operation: operationOf(seen) };
      state.requests.push(request);
      verify(signedParts(request), verifier);
      fate = await state.intercept(request, state.requests.length - 1);
      if (fate === 'drop-request') {
        incoming.socket.destroy();
        return;
      }
      answer = typeof fate === 'object' ? inPlace(fate) : await answerTo(request, incoming);
    } catch (error) {
      if (!(error instanceof ScsRefusal)) throw error;
      const { status, code, message } = error;
      answer = { status, headers: xmlType, body: errorXml(code, message, bucket) };
    }
    // What is refused is read to its end, so that the client can read why.
    if (!incoming.complete) await finished(incoming.resume()).catch(() => undefined);
    await send(answer, incoming, outgoing, fate);
  };

  const listener = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    handle(incoming, outgoing).catch(() => {
      incoming.socket.destroy();
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    accessKey,
    secretKey,
    requests: state.requests,
    get intercept() {
      return state.intercept;
    },
    set intercept(intercept) {
      state.intercept = intercept;
    },
    createBucket: (name) => {
      state.buckets.set(name, new ScsObjects(folder.path));
      return Promise.resolve();
    },
    redirect: (bucket, endpoint) => {
      state.elsewhere.set(bucket, endpoint);
    },
    reset: () => {
      state.requests.length = 0;
      state.intercept = passAll;
    },
    stop: async () => {
      const closed = once(server.close(), 'close');
      server.closeAllConnections();
      await closed;
      folder.remove();
    },
  };
}

const xmlType = { 'content-type': 'application/xml' };

/** @param named told the bucket, for errors */
function understand(
  { method = '', url = '', headers }: IncomingMessage,
  named: (bucket: string) => void,
): Omit<ScsRequest, 'operation'> {
  const [path = '', search = ''] = url.split('?');
  const [, bucket = '', key] = /^\/([^/]+)\/(.*)$/s.exec(path) ?? [];
  named(bucket);
  if (key === undefined) throw new ScsRefusal(405, 'MethodNotAllowed', 'no bucket');
  assertEscaped(key);
  return {
    method,
    bucket,
    key: decodeURIComponent(key),
    query: new URLSearchParams(search),
    headers,
    target: url,
  };
}

/** Only what must be escaped is, and with capitals. @throws ScsRefusal InvalidURI */
function assertEscaped(key: string): void {
  const isEscaped =
    /^([A-Za-z0-9_\-~./:]|%[0-9A-F]{2})*$/.test(key) &&
    !/%(3[0-9]|4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A]|2[DEF]|3A|5F|7E)/.test(key);
  if (!isEscaped) throw new ScsRefusal(400, 'InvalidURI', 'the key is not escaped as SCS has it');
}

function signedParts({ method, target, headers }: ScsRequest) {
  const [path = '', search = ''] = target.split('?');
  const parameters = search.split('&').map((one) => {
    const [name = '', value] = one.split(/=(.*)/s);
    return [name, value === undefined ? undefined : decodeURIComponent(value)] as const;
  });
  return { method, path, parameters, headers };
}

function inPlace({ status, code, headers }: Answer): ScsAnswer {
  return {
    status,
    headers: { ...xmlType, ...headers },
    ...(code !== undefined && { body: errorXml(code, 'from the test', '') }),
  };
}

async function send(
  { status, headers = {}, body }: ScsAnswer,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  fate: Fate,
): Promise<void> {
  if (fate === 'drop-answer') {
    incoming.socket.destroy();
    return;
  }
  const isHead = incoming.method === 'HEAD';
  const isCut = fate === 'cut-body';
  if (typeof body === 'object') {
    const bytes = read(body.content, body.start, isCut ? body.end - 1 : body.end);
    outgoing.writeHead(status, headers);
    if (Buffer.isBuffer(bytes)) outgoing.write(bytes);
    else await pipeline(bytes, outgoing, { end: false });
    if (isCut) outgoing.write('', () => incoming.socket.destroy());
    else outgoing.end();
    return;
  }
  const text = Buffer.from(body ?? '');
  const length = headers['content-length'] ?? String(text.byteLength);
  const bodiless = status === 204 ? {} : { 'content-length': length };
  outgoing.writeHead(status, { ...(body !== undefined && xmlType), ...headers, ...bodiless });
  if (isHead) outgoing.end();
  else if (isCut) outgoing.write(text.subarray(0, -1), () => incoming.socket.destroy());
  else outgoing.end(text);
}
