import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { textsIn, unescapeXml, xml, type ScsAnswer } from './scs-answers.ts';
import { ScsRefusal } from './scs-refusal.ts';
import { listKeys, listUploads, type ListingHabits } from './scs-listing.ts';
import type { ScsObjects, StoredObject } from './scs-objects.ts';

/** A request that has been understood. */
export interface ScsRequest {
  readonly method: string;
  readonly bucket: string;
  /** Decoded; empty for the bucket itself. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** Path and query as they came. */
  readonly target: string;
  /** S3's name of what it asks for. */
  readonly operation: string;
}

/** Which answers have the metadata of an object. */
export type MetadataHabit = 'head' | 'head-and-get' | 'none';

export interface OperationContext extends ListingHabits {
  readonly objects: ScsObjects;
  readonly metadata: MetadataHabit;
  /** The host that X-Scs-Location names. */
  readonly host: string;
  /** The object at an escaped `/bucket/key`. */
  readonly find: (source: string) => StoredObject;
}

interface Operation {
  /** Parameters it takes beside those that tell it from others. */
  readonly parameters?: readonly string[];
  /** `x-scs-*` headers it takes. */
  readonly headers?: RegExp;
  answer(
    request: ScsRequest,
    incoming: IncomingMessage,
    context: OperationContext,
  ): Promise<ScsAnswer> | ScsAnswer;
}

const signed = ['Expires', 'SOHUCSAccessKeyId', 'Signature'];
const meta = /^x-scs-meta-[a-z0-9-]+$/;

/** Every operation of SCS that is known. */
const operations: Readonly<Record<string, Operation>> = {
  PutObject: {
    headers: meta,
    async answer({ key, headers }, incoming, { objects }) {
      const body = await objects.receive(
        incoming,
        lengthOf(headers),
        headers['content-md5'] as string | undefined,
      );
      const { etag } = await objects.put(key, body, keptHeaders(headers));
      return { status: 200, headers: { etag: `"${etag}"` } };
    },
  },
  GetObject: {
    parameters: signed,
    answer: ({ key, query, headers: { range } }, _, { objects, metadata }) => {
      // Users of a signed URL are not the client under test and may send ignored headers.
      const isLenient = query.has('Signature');
      const known = range === undefined || /^bytes=\d+-\d*$/.test(range);
      if (!known && !isLenient) throw new ScsRefusal(400, 'InvalidArgument', `the range ${range}`);
      return objectAnswer(
        objects.get(key),
        isLenient ? leniently(range, objects.get(key).size) : range,
        metadata === 'head-and-get',
      );
    },
  },
  HeadObject: {
    answer: ({ key }, _, { objects, metadata }) => {
      const { headers = {} } = objectAnswer(objects.get(key), undefined, metadata !== 'none');
      return { status: 200, headers };
    },
  },
  DeleteObject: {
    async answer({ key }, _, { objects }) {
      await objects.delete(key);
      return { status: 204 };
    },
  },
  ListObjects: {
    parameters: ['prefix', 'delimiter', 'marker', 'max-keys'],
    answer: ({ bucket, query }, _, context) => {
      const [prefix = '', delimiter = '', marker = ''] = ['prefix', 'delimiter', 'marker'].map(
        (name) => query.get(name) ?? '',
      );
      const asked = { prefix, delimiter, marker, limit: limitOf(query, 'max-keys') };
      return {
        status: 200,
        body: xml('ListBucketResult', listKeys(context.objects, bucket, asked, context)),
      };
    },
  },
  CopyObject: {
    headers: /^x-scs-copy-source$/,
    async answer({ key, headers }, _, { objects, find }) {
      assertEmpty(headers);
      const { etag, modified } = await objects.copy(find(String(headers['x-scs-copy-source'])), key);
      const result = { LastModified: modified.toISOString(), ETag: `"${etag}"` };
      return { status: 200, body: xml('CopyObjectResult', result) };
    },
  },
  RenameObject: {
    async answer({ key, query, headers }, _, { objects }) {
      assertEmpty(headers);
      const target = query.get('newObjectName') ?? '';
      if (target === '') throw new ScsRefusal(400, 'InvalidArgument', 'newObjectName is empty');
      await objects.rename(key, target);
      return { status: 200 };
    },
  },
  DeleteObjects: {
    async answer(_, incoming, { objects }) {
      const document = (await buffer(incoming)).toString();
      const keys = textsIn(document, 'Delete', 'Key').map(unescapeXml);
      if (keys.length === 0 || keys.length > 1000 || !document.includes('<Quiet>false</Quiet>'))
        throw new ScsRefusal(400, 'MalformedXML', 'not a Delete of 1 to 1000 keys');
      for (const key of keys) await objects.delete(key);
      return { status: 200, body: xml('DeleteResult', { Deleted: keys.map((Key) => ({ Key })) }) };
    },
  },
  CreateMultipartUpload: {
    headers: meta,
    answer({ bucket, key, headers }, _, { objects }) {
      assertEmpty(headers);
      const UploadId = objects.startUpload(key, keptHeaders(headers));
      return {
        status: 200,
        body: xml('InitiateMultipartUploadResult', { Bucket: bucket, Key: key, UploadId }),
      };
    },
  },
  UploadPart: {
    async answer({ key, query, headers }, incoming, { objects }) {
      const number = Number(query.get('partNumber'));
      if (!Number.isInteger(number) || number < 1 || number > 10_000)
        throw new ScsRefusal(400, 'InvalidArgument', 'partNumber is not from 1 to 10000');
      const md5 = headers['content-md5'];
      if (typeof md5 !== 'string') throw new ScsRefusal(400, 'InvalidDigest', 'a part without Content-MD5');
      objects.upload(key, query.get('uploadId') ?? '');
      const part = await objects.receive(incoming, lengthOf(headers), md5);
      const { parts } = objects.upload(key, query.get('uploadId') ?? '');
      parts.set(number, { ...part, headers: {}, modified: new Date() });
      return { status: 200, headers: { etag: `"${part.etag}"` } };
    },
  },
  ListParts: {
    answer({ bucket, key, query }, _, { objects }) {
      const UploadId = query.get('uploadId') ?? '';
      const { parts } = objects.upload(key, UploadId);
      const Part = [...parts]
        .sort(([a], [b]) => a - b)
        .map(([PartNumber, { etag, size }]) => ({ PartNumber, ETag: `"${etag}"`, Size: size }));
      const result = { Bucket: bucket, Key: key, UploadId, IsTruncated: false, Part };
      return { status: 200, body: xml('ListPartsResult', result) };
    },
  },
  CompleteMultipartUpload: {
    async answer({ bucket, key, query }, incoming, { objects }) {
      const document = (await buffer(incoming)).toString();
      const root = 'CompleteMultipartUpload';
      const numbers = textsIn(document, root, 'PartNumber');
      const etags = textsIn(document, root, 'ETag').map((text) => unescapeXml(text).replace(/^"|"$/g, ''));
      const list = numbers.map((number, i) => ({ number: Number(number), etag: etags[i] ?? '' }));
      const { etag } = await objects.complete(key, query.get('uploadId') ?? '', list);
      const result = { Location: `/${bucket}`, Bucket: bucket, Key: key, ETag: `"${etag}"` };
      return { status: 200, body: xml('CompleteMultipartUploadResult', result) };
    },
  },
  AbortMultipartUpload: {
    async answer({ key, query }, _, { objects }) {
      await objects.abort(key, query.get('uploadId') ?? '');
      return { status: 204 };
    },
  },
  ListMultipartUploads: {
    parameters: ['prefix', 'delimiter', 'max-uploads', 'key-marker', 'upload-id-marker'],
    answer({ bucket, query }, _, { objects }) {
      const asked = { prefix: query.get('prefix') ?? '', limit: limitOf(query, 'max-uploads') };
      const after = { key: query.get('key-marker') ?? '', id: query.get('upload-id-marker') ?? '' };
      return {
        status: 200,
        body: xml('ListMultipartUploadsResult', listUploads(objects, bucket, asked, after)),
      };
    },
  },
  GetBucketLocation: {
    answer: (_request, _incoming, { host }) => ({ status: 200, headers: { 'x-scs-location': host } }),
  },
};

/** Parameters and headers that tell operations apart. */
const telling = ['uploads', 'uploadId', 'partNumber', 'newObjectName', 'delete', 'location'];

/** What a request asks for. @throws ScsRefusal MethodNotAllowed */
export function operationOf(request: Omit<ScsRequest, 'operation'>): string {
  const { method, key, query, headers } = request;
  const traits = telling.filter((name) => query.has(name));
  const copy = headers['x-scs-copy-source'] === undefined ? [] : ['copy'];
  const what = [method, key === '' ? 'bucket' : 'object', ...traits, ...copy].join(' ');
  const operation = table[what];
  if (operation === undefined) throw new ScsRefusal(405, 'MethodNotAllowed', `there is no ${what}`);
  return operation;
}

const table: Readonly<Record<string, string>> = {
  'PUT object': 'PutObject',
  'GET object': 'GetObject',
  'HEAD object': 'HeadObject',
  'DELETE object': 'DeleteObject',
  'GET bucket': 'ListObjects',
  'PUT object copy': 'CopyObject',
  'PUT object newObjectName': 'RenameObject',
  'POST bucket delete': 'DeleteObjects',
  'POST object uploads': 'CreateMultipartUpload',
  'PUT object uploadId partNumber': 'UploadPart',
  'GET object uploadId': 'ListParts',
  'POST object uploadId': 'CompleteMultipartUpload',
  'DELETE object uploadId': 'AbortMultipartUpload',
  'GET bucket uploads': 'ListMultipartUploads',
  'GET bucket location': 'GetBucketLocation',
};

/** Does what a request asks for. @throws ScsRefusal */
export async function perform(
  request: ScsRequest,
  incoming: IncomingMessage,
  context: OperationContext,
): Promise<ScsAnswer> {
  const operation = operations[request.operation];
  if (operation === undefined) throw new ScsRefusal(405, 'MethodNotAllowed', request.operation);
  assertKnown(request, operation);
  return await operation.answer(request, incoming, context);
}

/** SCS is asked for nothing that is not known of it. */
function assertKnown(
  { query, headers, method }: ScsRequest,
  { parameters = [], headers: own }: Operation,
): void {
  const names = new Set([...parameters, ...telling]);
  for (const name of query.keys())
    if (!names.has(name)) throw new ScsRefusal(400, 'InvalidArgument', `the parameter ${name}`);
  for (const name of Object.keys(headers)) {
    if (name === 'if-match' || name === 'if-none-match')
      throw new ScsRefusal(501, 'NotImplemented', 'there are no conditional requests');
    if (name.startsWith('x-scs-') && name !== 'x-scs-date' && own?.test(name) !== true)
      throw new ScsRefusal(400, 'InvalidArgument', `the header ${name}`);
    if (name.startsWith('x-amz-')) throw new ScsRefusal(400, 'InvalidArgument', `the header ${name} of S3`);
  }
  const hasBody = method === 'PUT' || method === 'POST';
  if (hasBody) lengthOf(headers);
}

function lengthOf(headers: ScsRequest['headers']): number {
  const length = headers['content-length'];
  if (length === undefined || headers['transfer-encoding'] !== undefined)
    throw new ScsRefusal(411, 'MissingContentLength', 'a body without its length');
  return Number(length);
}

function assertEmpty(headers: ScsRequest['headers']): void {
  if (lengthOf(headers) !== 0) throw new ScsRefusal(400, 'InvalidArgument', 'this has no body');
}

function limitOf(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? '100';
  if (!/^\d+$/.test(text)) throw new ScsRefusal(400, 'InvalidArgument', `${name} is no number`);
  return Number(text);
}

function keptHeaders(headers: ScsRequest['headers']): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => name === 'content-type' || meta.test(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
}

/** RFC 9110, 14.2: suffix ranges are valid; invalid and multiple ranges may be ignored. */
function leniently(range: string | undefined, size: number): string | undefined {
  const [, last] = /^bytes=-(\d+)$/.exec(range ?? '') ?? [];
  if (last !== undefined) return `bytes=${Math.max(0, size - Number(last))}-`;
  return range !== undefined && /^bytes=\d+-\d*$/.test(range) ? range : undefined;
}

/** The headers of an object, and of its bytes those that were asked for. */
function objectAnswer(object: StoredObject, range: string | undefined, withMetadata: boolean): ScsAnswer {
  const { content, size, etag, modified } = object;
  const kept = Object.entries(object.headers).filter(([name]) => withMetadata || !meta.test(name));
  const headers = {
    ...(Object.fromEntries(kept) as Record<string, string>),
    etag: `"${etag}"`,
    'last-modified': modified.toUTCString(),
    'accept-ranges': 'bytes',
  };
  if (range === undefined)
    return {
      status: 200,
      headers: { ...headers, 'content-length': String(size) },
      body: { content, start: 0, end: size },
    };
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
  const start = Number(first);
  const end = Math.min(size, last === undefined || last === '' ? size : Number(last) + 1);
  if (start >= size || end <= start) throw new ScsRefusal(416, 'InvalidRange', `${size} bytes`);
  return {
    status: 206,
    headers: {
      ...headers,
      'content-length': String(end - start),
      'content-range': `bytes ${start}-${end - 1}/${size}`,
    },
    body: { content, start, end },
  };
}
