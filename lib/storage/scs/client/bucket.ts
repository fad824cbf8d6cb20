import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Connection, type ConnectionOptions, type ScsRequest } from './connection.ts';
import { ScsError } from './errors.ts';
import { encodeQuery, pathOf } from './escape.ts';
import { readListing, readUploads, type ObjectListing, type UploadListing } from './listings.ts';
import { signedQuery } from './signature.ts';
import { childrenOf, escapeXml, readXml, textOf } from './xml.ts';

export interface ScsBucketOptions extends ConnectionOptions {
  /** In any case; SCS knows it in lower case. */
  readonly bucket: string;
}

export interface WriteOptions {
  /** `application/octet-stream` unless given. */
  readonly contentType?: string;
  /** Names `[a-z0-9-]+`, values printable ASCII. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** What the headers of an object's answer say. */
export interface ObjectHeaders {
  /** Bytes of the whole object. */
  readonly size: number;
  readonly lastModified: Date;
  /** Without quotes. */
  readonly etag: string;
  /** Names in lower case. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ListObjectsOptions {
  readonly prefix?: string;
  /** Of any length. */
  readonly delimiter?: string;
  /** Only what comes after it. */
  readonly marker?: string;
  /** SCS may give fewer. */
  readonly maxKeys: number;
}

export interface ListUploadsOptions {
  readonly prefix?: string;
  readonly keyMarker?: string;
  readonly uploadIdMarker?: string;
}

export interface Part {
  readonly number: number;
  /** Without quotes. */
  readonly etag: string;
}

/** Milliseconds for SCS to put gigabytes together or copy them before it answers. */
const workWithin = 15 * 60_000;

/** Most keys SCS is asked to delete at once, as S3 takes no more. */
export const maxDeleted = 1000;

/** Every request of SCS that a registry needs, on one bucket. Each fails with an {@link ScsError}. */
export class ScsBucket {
  readonly name: string;
  readonly #options: ScsBucketOptions;
  readonly #connection: Connection;

  constructor(options: ScsBucketOptions) {
    this.name = options.bucket.toLowerCase();
    this.#options = options;
    this.#connection = new Connection(options);
  }

  /** Writes an object whole. @returns its ETag */
  async put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<string> {
    const request = { ...this.#on('PUT', key), headers: writeHeaders(options), body: bytes };
    return etagOf((await this.#connection.exchange({ ...request, timeoutMs: bodyWithin(bytes) })).answer);
  }

  /** Opens an object for streaming, from byte `start` to byte `end` and both included. */
  async get(
    key: string,
    range?: { readonly start: number; readonly end?: number },
  ): Promise<ObjectHeaders & { readonly body: IncomingMessage }> {
    const headers = range && { range: `bytes=${range.start}-${range.end ?? ''}` };
    const answer = await this.#connection.open({ ...this.#on('GET', key), ...(headers && { headers }) });
    return { ...objectHeaders(answer), body: answer };
  }

  async head(key: string): Promise<ObjectHeaders> {
    return objectHeaders((await this.#connection.exchange(this.#on('HEAD', key))).answer);
  }

  /** Deletes an object. One that is not there is no error. */
  async delete(key: string): Promise<void> {
    await this.#connection.exchange(this.#on('DELETE', key));
  }

  /**
   * Deletes up to {@link maxDeleted} objects.
   * @returns those that were not deleted, and why
   */
  async deleteMany(keys: readonly string[]): Promise<{ readonly key: string; readonly code: string }[]> {
    const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join('');
    const document = `<?xml version="1.0" encoding="UTF-8"?>\n<Delete><Quiet>false</Quiet>${objects}</Delete>`;
    const request = { ...this.#on('POST', '', { delete: null }), body: Buffer.from(document) };
    const result = this.#read((await this.#connection.exchange(request)).body, 'DeleteResult');
    return childrenOf(result, 'Error').map((error) => ({
      key: textOf(error, 'Key'),
      code: textOf(error, 'Code'),
    }));
  }

  /** One page of the bucket's keys. */
  async list({
    prefix = '',
    delimiter = '',
    marker = '',
    maxKeys,
  }: ListObjectsOptions): Promise<ObjectListing> {
    const query = { delimiter, marker, 'max-keys': String(maxKeys), prefix: prefix === '' ? null : prefix };
    const { body } = await this.#connection.exchange(this.#on('GET', '', query));
    return readListing(this.#read(body, 'ListBucketResult'));
  }

  /** Copies an object, with its metadata, within the bucket. */
  async copy(from: string, to: string): Promise<void> {
    const headers = { 'x-scs-copy-source': pathOf(this.name, from) };
    await this.#connection.exchange({ ...this.#on('PUT', to), headers, timeoutMs: workWithin });
  }

  /** Gives an object another key, replacing what had it. Nothing is copied. */
  async rename(from: string, to: string): Promise<void> {
    await this.#connection.exchange(this.#on('PUT', from, { newObjectName: to }));
  }

  /** @returns the id of a new multipart upload */
  async createMultipart(key: string, options: WriteOptions = {}): Promise<string> {
    const request = { ...this.#on('POST', key, { uploads: null }), headers: writeHeaders(options) };
    const { body } = await this.#connection.exchange(request);
    const id = textOf(this.#read(body, 'InitiateMultipartUploadResult'), 'UploadId');
    if (id === '') throw notScs('a multipart upload without an id');
    return id;
  }

  /** Writes a part of at least 5 MiB, but for the last. @returns its ETag */
  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<string> {
    const request = {
      ...this.#on('PUT', key, { partNumber: String(number), uploadId }),
      // Unlike S3's, in hexadecimal.
      headers: { 'content-md5': createHash('md5').update(bytes).digest('hex') },
      body: bytes,
      within: bodyWithin(bytes),
    };
    return etagOf((await this.#connection.exchange(request)).answer);
  }

  /** Makes the object of these parts. @returns its ETag */
  async completeMultipart(key: string, uploadId: string, parts: readonly Part[]): Promise<string> {
    const list = parts.map(
      ({ number, etag }) =>
        `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(`"${etag}"`)}</ETag></Part>`,
    );
    const document = `<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`;
    const request = {
      ...this.#on('POST', key, { uploadId }),
      body: Buffer.from(document),
      within: workWithin,
    };
    const { body } = await this.#connection.exchange(request);
    return unquote(textOf(this.#read(body, 'CompleteMultipartUploadResult'), 'ETag'));
  }

  /** Throws away an upload and its parts. */
  async abortMultipart(key: string, uploadId: string): Promise<void> {
    // An upload that is gone is what this is for, and worth no wait.
    await this.#connection.exchange({
      ...this.#on('DELETE', key, { uploadId }),
      finalCodes: ['NoSuchUpload'],
    });
  }

  /** One page of the uploads in progress. */
  async listMultiparts({
    prefix = '',
    keyMarker,
    uploadIdMarker,
  }: ListUploadsOptions): Promise<UploadListing> {
    const query = {
      uploads: null,
      delimiter: '',
      'max-uploads': '1000',
      prefix: prefix === '' ? null : prefix,
      ...(keyMarker !== undefined && { 'key-marker': keyMarker }),
      ...(uploadIdMarker !== undefined && { 'upload-id-marker': uploadIdMarker }),
    };
    const { body } = await this.#connection.exchange(this.#on('GET', '', query));
    return readUploads(this.#read(body, 'ListMultipartUploadsResult'));
  }

  /** @returns the host of the region the bucket is in */
  async location(): Promise<string> {
    const { answer } = await this.#connection.exchange(this.#on('GET', '', { location: null }));
    const host = answer.headers['x-scs-location'];
    if (typeof host !== 'string') throw notScs('no X-Scs-Location');
    return host;
  }

  /**
   * A URL anyone can GET an object at.
   * @param expires seconds since 1970
   */
  signedUrl(key: string, expires: number): URL {
    const request = this.#on('GET', key);
    const query = encodeQuery(signedQuery(this.#options.keys, request, expires));
    return new URL(this.#connection.origin + request.path + query);
  }

  /** Closes idle connections. */
  close(): void {
    this.#connection.close();
  }

  #on(method: string, key: string, query: ScsRequest['query'] = {}): ScsRequest {
    return { method, path: pathOf(this.name, key), query, headers: {} };
  }

  /** The root of an answer, which must be the one expected. */
  #read(body: string, name: string) {
    const root = readXml(body)[name];
    if (root === undefined) throw notScs(`no ${name}`);
    return root;
  }
}

/** What answers 200 to all it is asked, as a web site does, keeps no objects. */
function notScs(what: string): ScsError {
  return new ScsError('NotScs', `the answer had ${what}`, { status: 200 });
}

function writeHeaders({ contentType = 'application/octet-stream', metadata = {} }: WriteOptions) {
  const own = Object.entries(metadata).map(([name, value]) => [
    `x-scs-meta-${name.toLowerCase()}`,
    value.trim(),
  ]);
  return { 'content-type': contentType, ...(Object.fromEntries(own) as Record<string, string>) };
}

/** Milliseconds for a body to be sent and answered, at 256 KiB a second and more. */
function bodyWithin({ byteLength }: Uint8Array): number | undefined {
  return byteLength < 1024 ** 2 ? undefined : 20_000 + byteLength / 256;
}

function objectHeaders(answer: IncomingMessage): ObjectHeaders {
  const { headers } = answer;
  const [, total] = /\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
  const own = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith('x-scs-meta-') ? [[name.slice('x-scs-meta-'.length), String(value)]] : [],
  );
  return {
    size: Number(total ?? headers['content-length'] ?? 0),
    lastModified: new Date(headers['last-modified'] ?? 0),
    etag: etagOf(answer),
    metadata: Object.fromEntries(own) as Record<string, string>,
  };
}

function etagOf({ headers }: IncomingMessage): string {
  const etag = unquote(headers.etag);
  if (etag === '') throw notScs('no ETag');
  return etag;
}

function unquote(etag = ''): string {
  return etag.replace(/^"|"$/g, '');
}
