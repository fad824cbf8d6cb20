import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Connection, type ConnectionOptions, type ScsRequest } from './connection.ts';
import { ScsError } from './errors.ts';
import { encodeQuery, pathOf } from './escape.ts';
import {
  readListing,
  readUploads,
  type ListedObject,
  type ObjectListing,
  type UploadListing,
} from './listings.ts';
import { signedQuery } from './signature.ts';
import { childrenOf, escapeXml, readXml, textOf } from './xml.ts';

export interface ScsBucketOptions extends ConnectionOptions {
  /** In any case; SCS uses lower case. */
  readonly bucket: string;
}

interface WriteOptions {
  /** Default: `application/octet-stream`. */
  readonly contentType?: string;
  /** Names `[a-z0-9-]+`, values printable ASCII. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The headers of an object's response. `size` is that of the whole object. */
interface ObjectHeaders extends Omit<ListedObject, 'key'> {
  /** Names in lower case. */
  readonly metadata: Readonly<Record<string, string>>;
}

interface ListObjectsOptions {
  readonly prefix?: string;
  /** Of any length. */
  readonly delimiter?: string;
  /** Lists only keys after this one. */
  readonly marker?: string;
  /** SCS may return fewer. */
  readonly maxKeys: number;
}

export interface ListUploadsOptions {
  readonly prefix?: string;
  readonly keyMarker?: string;
  readonly uploadIdMarker?: string;
}

/** Timeout for a response that SCS sends only after it has copied or assembled gigabytes. */
const copyTimeoutMs = 15 * 60_000;

/** Most keys of one delete request, as on S3. */
export const maxDeleted = 1000;

/** A client for one bucket. Every method rejects with {@link ScsError}. */
export class ScsBucket {
  readonly name: string;
  readonly #options: ScsBucketOptions;
  readonly #connection: Connection;

  constructor(options: ScsBucketOptions) {
    this.name = options.bucket.toLowerCase();
    this.#options = options;
    this.#connection = new Connection(options);
  }

  /** Writes an object. @returns its ETag */
  async put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<string> {
    const request = { ...this.#on('PutObject', 'PUT', key), headers: writeHeaders(options), body: bytes };
    return etagOf((await this.#connection.exchange({ ...request, timeoutMs: timeoutMsFor(bytes) })).response);
  }

  /** Opens an object for streaming. */
  async get(
    key: string,
    range?: { readonly start: number; readonly end?: number },
  ): Promise<ObjectHeaders & { readonly body: IncomingMessage }> {
    const headers = range && { range: `bytes=${range.start}-${range.end ?? ''}` };
    const body = await this.#connection.open({
      ...this.#on('GetObject', 'GET', key),
      ...(headers && { headers }),
    });
    return { ...objectHeaders(body), body };
  }

  async head(key: string): Promise<ObjectHeaders> {
    return objectHeaders((await this.#connection.exchange(this.#on('HeadObject', 'HEAD', key))).response);
  }

  /** Deletes an object. Ignores one that does not exist. */
  async delete(key: string): Promise<void> {
    await this.#connection.exchange(this.#on('DeleteObject', 'DELETE', key));
  }

  /**
   * Deletes up to {@link maxDeleted} objects.
   * @returns the objects that were not deleted, with error codes
   */
  async deleteMany(keys: readonly string[]): Promise<{ readonly key: string; readonly code: string }[]> {
    const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join('');
    const document = `<?xml version="1.0" encoding="UTF-8"?>\n<Delete><Quiet>false</Quiet>${objects}</Delete>`;
    const request = {
      ...this.#on('DeleteObjects', 'POST', '', { delete: null }),
      body: Buffer.from(document),
    };
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
    const { body } = await this.#connection.exchange(this.#on('ListObjects', 'GET', '', query));
    return readListing(this.#read(body, 'ListBucketResult'));
  }

  /** Copies an object with its metadata within the bucket. */
  async copy(from: string, to: string): Promise<void> {
    const headers = { 'x-scs-copy-source': pathOf(this.name, from) };
    await this.#connection.exchange({
      ...this.#on('CopyObject', 'PUT', to),
      headers,
      timeoutMs: copyTimeoutMs,
    });
  }

  /** Renames an object on the server, replacing any at the new key. */
  async rename(from: string, to: string): Promise<void> {
    await this.#connection.exchange(this.#on('RenameObject', 'PUT', from, { newObjectName: to }));
  }

  /** Creates a multipart upload. @returns its id */
  async createMultipart(key: string, options: WriteOptions = {}): Promise<string> {
    const request = {
      ...this.#on('CreateMultipartUpload', 'POST', key, { uploads: null }),
      headers: writeHeaders(options),
    };
    const { body } = await this.#connection.exchange(request);
    const id = textOf(this.#read(body, 'InitiateMultipartUploadResult'), 'UploadId');
    if (id === '') throw notScs('a multipart upload without an id');
    return id;
  }

  /** Writes a part of at least 5 MiB, unless it is the last. @returns its ETag */
  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<string> {
    const request = {
      ...this.#on('UploadPart', 'PUT', key, { partNumber: String(number), uploadId }),
      // Hexadecimal, unlike S3's.
      headers: { 'content-md5': createHash('md5').update(bytes).digest('hex') },
      body: bytes,
      timeoutMs: timeoutMsFor(bytes),
    };
    return etagOf((await this.#connection.exchange(request)).response);
  }

  /** Makes an object of these parts. @returns its ETag */
  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly { readonly number: number; readonly etag: string }[],
  ): Promise<string> {
    const list = parts.map(
      ({ number, etag }) =>
        `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(`"${etag}"`)}</ETag></Part>`,
    );
    const document = `<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`;
    const request = {
      ...this.#on('CompleteMultipartUpload', 'POST', key, { uploadId }),
      body: Buffer.from(document),
      timeoutMs: copyTimeoutMs,
    };
    const { body } = await this.#connection.exchange(request);
    return unquote(textOf(this.#read(body, 'CompleteMultipartUploadResult'), 'ETag'));
  }

  /** Deletes an upload and its parts. */
  async abortMultipart(key: string, uploadId: string): Promise<void> {
    // Not retried: the upload is gone, as desired.
    await this.#connection.exchange({
      ...this.#on('AbortMultipartUpload', 'DELETE', key, { uploadId }),
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
    const { body } = await this.#connection.exchange(this.#on('ListMultipartUploads', 'GET', '', query));
    return readUploads(this.#read(body, 'ListMultipartUploadsResult'));
  }

  /** The host of the bucket's region. */
  async location(): Promise<string> {
    const { response } = await this.#connection.exchange(
      this.#on('GetBucketLocation', 'GET', '', { location: null }),
    );
    const host = response.headers['x-scs-location'];
    if (typeof host !== 'string') throw notScs('no X-Scs-Location');
    return host;
  }

  /**
   * A URL that anyone can GET an object at.
   * @param expires seconds since 1970
   */
  signedUrl(key: string, expires: number): URL {
    const request = this.#on('GetObject', 'GET', key);
    const query = encodeQuery(signedQuery(this.#options.keys, request, expires));
    return new URL(this.#connection.origin + request.path + query);
  }

  /** Closes idle connections. */
  close(): void {
    this.#connection.close();
  }

  #on(operation: string, method: string, key: string, query: ScsRequest['query'] = {}): ScsRequest {
    return { operation, method, path: pathOf(this.name, key), query, headers: {} };
  }

  /** The root element of a response. */
  #read(body: string, name: string) {
    const root = readXml(body)[name];
    if (root === undefined) throw notScs(`no ${name}`);
    return root;
  }
}

/** The error for a server that answers 200 to any request, as web sites do. */
function notScs(what: string): ScsError {
  return new ScsError('NotScs', `the response had ${what}`, { status: 200 });
}

function writeHeaders({ contentType = 'application/octet-stream', metadata = {} }: WriteOptions) {
  const own = Object.entries(metadata).map(([name, value]) => [
    `x-scs-meta-${name.toLowerCase()}`,
    value.trim(),
  ]);
  return { 'content-type': contentType, ...(Object.fromEntries(own) as Record<string, string>) };
}

/** Milliseconds to send a body and get the response, at 256 KiB/s or more; undefined for small bodies. */
function timeoutMsFor({ byteLength }: Uint8Array): number | undefined {
  return byteLength < 1024 ** 2 ? undefined : 20_000 + byteLength / 256;
}

function objectHeaders(response: IncomingMessage): ObjectHeaders {
  const { headers } = response;
  const [, total] = /\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
  const own = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith('x-scs-meta-') ? [[name.slice('x-scs-meta-'.length), String(value)]] : [],
  );
  return {
    size: Number(total ?? headers['content-length'] ?? 0),
    lastModified: new Date(headers['last-modified'] ?? 0),
    etag: etagOf(response),
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
