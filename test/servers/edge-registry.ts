import { once } from 'node:events';
import {
  createServer,
  request,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer } from '../../lib/server/server.ts';
import { policySettings } from '../access/policy-registry.ts';
import { startCloudFront, type Distribution } from './cloudfront.ts';
import { startGateway, type GatewayOptions } from './gateway.ts';
import { readBody } from './gateway/read-body.ts';
import { handlers } from './handlers.ts';
import { listen } from './listen.ts';
import { freePort } from './ports.ts';
import { folderStorage } from './storage.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A request or a response on its way, which a fault changes. */
export interface Passing {
  method: string;
  /** With the query. */
  path: string;
  headers: OutgoingHttpHeaders;
  body: Buffer;
}

export interface PassingResponse extends Pick<Passing, 'headers' | 'body'> {
  status: number;
}

/** What a proxy does wrong. */
export interface Fault {
  readonly request?: (passing: Passing) => void;
  /** Answers in the place of the registry. */
  readonly answer?: (passing: Passing, isChunked: boolean) => PassingResponse | undefined;
  readonly response?: (passing: PassingResponse, asked: Passing) => void;
}

/** Functions and a data plane at one address, in this process, with all that may stand before them. */
export interface EdgeRegistry {
  readonly url: string;
  /** Of API Gateway; may be changed at any time. */
  readonly gateway: Mutable<GatewayOptions>;
  /** Of CloudFront; likewise. */
  readonly distribution: Mutable<Omit<Distribution, 'origin'>>;
  /** Of a proxy before CloudFront. */
  readonly proxy: { fault: Fault };
  /** Sends uploads to the functions, as where there is no data plane. */
  hasDataPlane: boolean;
  stop(): Promise<void>;
}

/** Uploads in progress, and blobs of a folder, whose URLs the functions sign. */
const uploadPath = /^\/v2\/.+\/blobs\/uploads\/[^/?]/;
const signedPath = /^\/v2\/[^?]+\/blobs\/[^?]+\?.*signature=/;

/**
 * Starts them, once in a process: the functions read the environment at their first request.
 * @param policy text of the policy file @param users who can log in
 */
export async function startEdgeRegistry(policy: string, users: readonly string[]): Promise<EdgeRegistry> {
  const [storage, access] = [await folderStorage(), await policySettings(policy, users)];
  const port = await freePort(2);
  const [url, dataPlane] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${port + 1}`];
  const registry = { gateway: {}, distribution: {}, proxy: { fault: {} }, hasDataPlane: true };
  const functions = await startGateway(handlers, registry.gateway);
  // Both planes have a secret of their own.
  const { REGISTRY_HTTP_SECRET: secret, ...settings } = access.settings;
  const common = {
    ...storage.settings,
    REGISTRY_HTTP_SECRET: 'the secret of both planes, long enough',
    REGISTRY_LOG_LEVEL: 'error',
    REGISTRY_HTTP_HOST: url,
  };
  Object.assign(process.env, common, settings, {
    REGISTRY_AUTH_POLICY_SECRET: secret,
    REGISTRY_HTTP_DATAPLANE: url,
  });
  const server = await startServer(
    'data-plane',
    loadConfig('data-plane', { ...common, REGISTRY_HTTP_ADDR: `127.0.0.1:${port + 1}` }),
  );
  const cloudFront = await startCloudFront(
    Object.defineProperty(registry.distribution, 'origin', {
      value: (path: string) =>
        signedPath.test(path) || (registry.hasDataPlane && uploadPath.test(path)) ? dataPlane : functions.url,
    }) as Distribution,
  );
  const proxy = await startFaultyProxy(port, cloudFront.url, registry.proxy);
  return Object.assign(registry, {
    url,
    stop: async () => {
      await Promise.all([proxy.stop(), cloudFront.stop(), functions.stop(), server.stop()]);
      access.remove();
      storage.remove();
    },
  });
}

/** A proxy that passes all bodies whole, and has a fault. */
async function startFaultyProxy(port: number, upstream: string, state: { fault: Fault }) {
  const server = createServer((incoming, answer) => {
    pass(upstream, state, incoming, answer).catch(() => {
      answer.destroy();
    });
  });
  return await listen(server, port);
}

async function pass(
  upstream: string,
  { fault }: { fault: Fault },
  incoming: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  const { method = '', url = '', headers } = incoming;
  const isChunked = headers['transfer-encoding'] !== undefined;
  const asked: Passing = { method, path: url, headers: endToEnd(headers), body: await readBody(incoming) };
  fault.request?.(asked);
  const own = fault.answer?.(asked, isChunked);
  const reply = own ?? (await forward(upstream, asked));
  fault.response?.(reply, asked);
  answer.writeHead(reply.status, reply.headers).end(reply.body);
}

async function forward(upstream: string, { method, path, headers, body }: Passing): Promise<PassingResponse> {
  const length = body.length > 0 || 'content-length' in headers ? { 'content-length': body.length } : {};
  const { hostname, port } = new URL(upstream);
  const outgoing = request({
    hostname,
    port,
    method,
    path,
    headers: { ...headers, ...length },
    agent: false,
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return {
    status: response.statusCode ?? 502,
    headers: endToEnd(response.headers),
    body: await readBody(response),
  };
}

function endToEnd(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  const ofConnection = ['connection', 'keep-alive', 'transfer-encoding'];
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ofConnection.includes(name)));
}
