import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type Agent, type IncomingMessage } from 'node:http';
import { secretsIn } from '../logs/secrets.ts';

/** A request as a test writes it. */
export interface Ask {
  readonly method: string;
  /** Below the registry's URL, or an absolute URL that an answer pointed at. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: Uint8Array;
  /** Sends the body without announcing its length, as docker does. */
  readonly chunked?: boolean;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  /** Where the request went. */
  readonly url: string;
}

/**
 * A plain HTTP client that shows every answer as it came: no redirects, no decoding.
 * @param agent whose connections are used; each request has its own unless given
 */
export async function send(
  base: string,
  { method, path, headers = {}, body, chunked = false }: Ask,
  agent: Agent | false = false,
): Promise<Reply> {
  const url = new URL(path, base);
  // Without either, Node announces the length of a body that it has whole.
  const length = chunked
    ? { 'transfer-encoding': 'chunked' }
    : { 'content-length': String(body?.byteLength ?? 0) };
  const sized = body === undefined && (method === 'GET' || method === 'HEAD') ? {} : length;
  // The path as it was written: URL resolves dots and escapes, which some tests want sent.
  const asked = request(url, {
    method,
    path: path.startsWith('/') ? path : url.pathname + url.search,
    headers: { ...sized, ...headers },
    agent,
  });
  // It may fail a second time, when nothing awaits it any more.
  asked.on('error', () => undefined);
  asked.end(body);
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of response as AsyncIterable<Buffer>) pieces.push(piece);
  const reply = {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(pieces),
    url: url.href,
  };
  if (reply.status >= 400) assert.deepEqual(secretsIn(reply.body.toString()), [], 'an error has a secret');
  return reply;
}

export function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** A name no other test uses. */
export function someName(prefix = 'test'): string {
  return `${prefix}/${randomBytes(6).toString('hex')}`;
}

/** A registry at a URL, and what a client does to prepare for what a test is about. Every step must succeed. */
export class Client {
  readonly base: string;
  /** Sends what an answer's Location points at somewhere else. */
  readonly #relocate: (location: string) => string;

  constructor(base: string, relocate: (location: string) => string = (location) => location) {
    this.base = base;
    this.#relocate = relocate;
  }

  async send(ask: Ask): Promise<Reply> {
    return await send(this.base, ask);
  }

  /** The `Location` of an answer, where this client sends its next request. */
  location(reply: Reply): string {
    const location = reply.headers.location;
    if (location === undefined)
      throw new Error(`no Location in an answer of ${reply.status} to ${reply.url}`);
    return this.#relocate(new URL(location, reply.url).href);
  }

  async must(status: number, ask: Ask): Promise<Reply> {
    const reply = await this.send(ask);
    if (reply.status !== status)
      throw new Error(
        `${ask.method} ${ask.path} answered ${reply.status}, not ${status}: ${reply.body.toString()}`,
      );
    return reply;
  }

  /** Starts an upload. @returns its Location */
  async startUpload(name: string): Promise<string> {
    return this.location(await this.must(202, { method: 'POST', path: `/v2/${name}/blobs/uploads/` }));
  }

  /** Sends a chunk with its Content-Range. @returns the next Location */
  async sendChunk(location: string, start: number, body: Uint8Array): Promise<string> {
    return this.location(
      await this.must(202, { method: 'PATCH', path: location, headers: contentRange(start, body), body }),
    );
  }

  /** In one request where it can: what only prepares a test should cost the bucket little. @returns its digest */
  async pushBlob(name: string, bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    // Without a type, serverless-offline takes any body for text.
    const headers = { 'content-type': 'application/octet-stream' };
    const whole = { path: `/v2/${name}/blobs/uploads/?digest=${digest}`, headers, body: bytes };
    // A POST without a body begins an upload, and a large one does not fit through the gateway.
    if (bytes.length > 0 && bytes.length < 1e6) await this.must(201, { method: 'POST', ...whole });
    else
      await this.must(201, {
        method: 'PUT',
        path: withDigest(await this.startUpload(name), digest),
        body: bytes,
      });
    return digest;
  }

  /** Pushes an OCI image with a config and a layer of its own. */
  async pushImage(
    name: string,
    reference: string,
  ): Promise<{ bytes: Buffer; digest: string; layer: string }> {
    const [config, layer] = [randomBytes(40), randomBytes(50)];
    await this.pushBlob(name, config);
    await this.pushBlob(name, layer);
    const bytes = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
    await this.pushManifest(name, reference, bytes);
    return { bytes, digest: digestOf(bytes), layer: digestOf(layer) };
  }

  async pushManifest(name: string, reference: string, bytes: Buffer, type = imageType): Promise<void> {
    const path = `/v2/${name}/manifests/${reference}`;
    await this.must(201, { method: 'PUT', path, headers: { 'content-type': type }, body: bytes });
  }
}

export const imageType = 'application/vnd.oci.image.manifest.v1+json';
export const indexType = 'application/vnd.oci.image.index.v1+json';
export const dockerImageType = 'application/vnd.docker.distribution.manifest.v2+json';
export const dockerListType = 'application/vnd.docker.distribution.manifest.list.v2+json';

export function descriptor(
  bytes: Uint8Array,
  mediaType = 'application/octet-stream',
): Record<string, unknown> {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

/** A manifest's bytes, indented as docker's are: they must come back to the byte. */
export function manifest(fields: Record<string, unknown>, mediaType: string | undefined = imageType): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }, undefined, 3));
}

export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;
}

export function contentRange(start: number, body: Uint8Array): Record<string, string> {
  return { 'content-range': `${start}-${start + body.byteLength - 1}` };
}
