import { dirname } from 'node:path/posix';
import { stalledListing } from '../listing-page.ts';
import { assertOrder } from '../part-order.ts';
import { copyTimeoutMs, type S3Bucket } from './bucket.ts';
import { elementsOf, escapeXml, textOf } from './client/xml.ts';
import { failureOf } from './errors.ts';
import { decode, etagOf, notS3, unquote } from './listing.ts';
import {
  MultipartNotFound,
  type MultipartUpload,
  type MultipartWriter,
  type ObjectInfo,
  type PutOptions,
  type UploadedPart,
} from '../store.ts';

/** Multipart uploads to a bucket. */
export class S3Multiparts implements MultipartWriter {
  protected readonly bucket: S3Bucket;

  constructor(bucket: S3Bucket) {
    this.bucket = bucket;
  }

  async createMultipart(key: string, { metadata = {} }: Pick<PutOptions, 'metadata'> = {}): Promise<string> {
    const { body } = await this.bucket.send(key, {
      ...this.bucket.object('CreateMultipartUpload', 'POST', key),
      query: { uploads: '' },
      headers: this.bucket.newObjectHeaders(metadata),
    });
    const uploadId = textOf(body.toString(), 'UploadId');
    if (uploadId === undefined || uploadId === '') throw notS3(key, this.bucket);
    return uploadId;
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    const request = {
      ...this.bucket.object('UploadPart', 'PUT', key),
      query: { partNumber: String(number), uploadId },
      body: bytes,
      // At least 256 KiB/s.
      timeoutMs: 20_000 + bytes.byteLength / 256,
    };
    const { headers } = await this.bucket.send(key, request, orNoSuchUpload(key));
    return { number, etag: etagOf(headers), size: bytes.byteLength };
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    assertOrder(key, parts);
    const list = parts.map(
      ({ number, etag }) =>
        `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(`"${etag}"`)}</ETag></Part>`,
    );
    const request = {
      ...this.bucket.object('CompleteMultipartUpload', 'POST', key),
      query: { uploadId },
      headers: { 'content-type': 'application/xml' },
      body: Buffer.from(`<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`),
      timeoutMs: copyTimeoutMs,
    };
    const { body } = await this.bucket.send(key, request, orNoSuchUpload(key));
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    return { key, size, lastModified: new Date(), etag: unquote(textOf(body.toString(), 'ETag')) };
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    try {
      const request = {
        ...this.bucket.object('AbortMultipartUpload', 'DELETE', key),
        query: { uploadId },
      };
      await this.bucket.send(key, request, orNoSuchUpload(key));
    } catch (error) {
      if (!(error instanceof MultipartNotFound)) throw error;
    }
  }

  /** Lists all uploads of the bucket if the server takes the prefix for a whole key. */
  async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    const full = this.bucket.root.prefix(prefix);
    let isByPrefix = false;
    for await (const upload of this.#list(full)) {
      isByPrefix ||= upload.key !== full;
      yield this.#own(upload);
    }
    if (isByPrefix || (await this.#listsByPrefix())) return;
    for await (const upload of this.#list(''))
      if (upload.key.startsWith(full) && upload.key !== full) yield this.#own(upload);
  }

  get unlistedMultiparts(): string | undefined {
    if (this.bucket.listsUploadsByPrefix !== false) return undefined;
    return (
      'the server lists multipart uploads of whole keys only, as MinIO does, and other uploads only since its start; ' +
      'MinIO itself removes uploads older than its stale_uploads_expiry (24h)'
    );
  }

  #own(upload: MultipartUpload): MultipartUpload {
    return { ...upload, key: this.bucket.root.ownKey(upload.key) };
  }

  async #listsByPrefix(): Promise<boolean> {
    this.bucket.listsUploadsByPrefix ??= this.bucket.isAws || (await this.#probeListing());
    return this.bucket.listsUploadsByPrefix;
  }

  /** Creates an upload and lists it by a part of its key. */
  async #probeListing(): Promise<boolean> {
    const key = this.bucket.probeKey('multipart');
    const uploadId = await this.createMultipart(key);
    try {
      const { uploads } = await this.#page(this.bucket.root.prefix(`${dirname(key)}/`));
      return uploads.length > 0;
    } finally {
      await this.abortMultipart(key, uploadId);
    }
  }

  /** Uploads with the bucket's keys. */
  async *#list(prefix: string): AsyncGenerator<MultipartUpload, void> {
    for (let after: MultipartUpload | undefined; ;) {
      const { uploads, isTruncated }: UploadPage = await this.#page(prefix, after);
      yield* uploads;
      if (!isTruncated) return;
      const last = uploads.at(-1);
      if (last === undefined || (last.key === after?.key && last.uploadId === after.uploadId))
        throw stalledListing(prefix, this.bucket.name);
      after = last;
    }
  }

  /** @param after the last upload listed: Swift does not encode its own markers */
  async #page(prefix: string, after?: MultipartUpload): Promise<UploadPage> {
    const request = { operation: 'ListMultipartUploads', method: 'GET' } as const;
    const query = {
      uploads: '',
      'encoding-type': 'url',
      ...(prefix !== '' && { prefix }),
      ...(after && { 'key-marker': after.key }),
    };
    const marked = { ...query, ...(after && { 'upload-id-marker': after.uploadId }) };
    const { body } = await this.bucket.send(prefix, { ...request, query: marked }, async (error) => {
      // Versity's gateway looks for the upload only after the key, and so does not find it.
      if (after === undefined || failureOf(error).code !== 'InvalidArgument') throw error;
      return await this.bucket.send(prefix, { ...request, query });
    });
    const page = body.toString();
    const encoding = textOf(page, 'EncodingType');
    return {
      uploads: elementsOf(page, 'Upload').flatMap((upload) => {
        const uploadId = textOf(upload, 'UploadId');
        const started = new Date(textOf(upload, 'Initiated') ?? 0);
        return uploadId === undefined
          ? []
          : [{ key: decode(encoding, textOf(upload, 'Key')), uploadId, started }];
      }),
      isTruncated: textOf(page, 'IsTruncated') === 'true',
    };
  }
}

interface UploadPage {
  readonly uploads: readonly MultipartUpload[];
  readonly isTruncated: boolean;
}

/** What servers answer, beside 404, to a malformed upload id. */
const malformedIdCodes = ['InvalidArgument', 'XMinioInvalidResourceName'];

function orNoSuchUpload(key: string): (error: unknown) => never {
  return (error) => {
    const { code, status } = failureOf(error);
    if (malformedIdCodes.includes(code) || (status === 404 && code !== 'NoSuchBucket'))
      throw new MultipartNotFound(key);
    throw error;
  };
}
