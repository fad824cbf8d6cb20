import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { dirname } from 'node:path/posix';
import { stalledListing } from '../listing-page.ts';
import { assertOrder } from '../part-order.ts';
import { copyTimeoutMs, type S3Bucket } from './bucket.ts';
import { failureOf } from './errors.ts';
import { decode, unquote } from './listing.ts';
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
    const input = { ...this.bucket.newObject(key), Metadata: { ...metadata } };
    const { UploadId } = await this.bucket.send(key, new CreateMultipartUploadCommand(input));
    return UploadId ?? '';
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    const input = { ...this.bucket.object(key), UploadId: uploadId, PartNumber: number, Body: bytes };
    const { ETag } = await this.bucket.send(key, new UploadPartCommand(input), {
      // At least 256 KiB/s.
      timeoutMs: 20_000 + bytes.byteLength / 256,
      recover: orNoSuchUpload(key),
    });
    return { number, etag: unquote(ETag), size: bytes.byteLength };
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    assertOrder(key, parts);
    const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: `"${etag}"` }));
    const input = { ...this.bucket.object(key), UploadId: uploadId, MultipartUpload: { Parts } };
    const { ETag } = await this.bucket.send(key, new CompleteMultipartUploadCommand(input), {
      timeoutMs: copyTimeoutMs,
      recover: orNoSuchUpload(key),
    });
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    return { key, size, lastModified: new Date(), etag: unquote(ETag) };
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    try {
      const command = new AbortMultipartUploadCommand({ ...this.bucket.object(key), UploadId: uploadId });
      await this.bucket.send(key, command, { recover: orNoSuchUpload(key) });
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
    const input = {
      Bucket: this.bucket.name,
      ...(prefix !== '' && { Prefix: prefix }),
      EncodingType: 'url' as const,
      ...(after && { KeyMarker: after.key }),
    };
    const command = new ListMultipartUploadsCommand({
      ...input,
      ...(after && { UploadIdMarker: after.uploadId }),
    });
    const page = await this.bucket.send(prefix, command, {
      recover: async (error) => {
        // Versity's gateway looks for the upload only after the key, and so does not find it.
        if (after === undefined || failureOf(error).code !== 'InvalidArgument') throw error;
        return await this.bucket.send(prefix, new ListMultipartUploadsCommand(input));
      },
    });
    return {
      uploads: (page.Uploads ?? []).flatMap(({ Key, UploadId, Initiated = new Date(0) }) =>
        UploadId === undefined ? [] : [{ key: decode(page, Key), uploadId: UploadId, started: Initiated }],
      ),
      isTruncated: page.IsTruncated === true,
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
