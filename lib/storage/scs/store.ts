import { maxDeleted, ScsBucket, type ListUploadsOptions } from './client/bucket.ts';
import type { RetryPolicy } from './client/connection.ts';
import { ScsError } from './client/errors.ts';
import type { UploadListing } from './client/listings.ts';
import { BodyLimit } from '../body-limit.ts';
import { openReconnecting, readWhole, contentStart, type OpenObject, type FetchedObject } from '../bodies.ts';
import { deadlineSignal } from '../deadline.ts';
import { listPage, stalledListing, type PageResponse, type PageRequest } from '../listing-page.ts';
import { assertOrder } from '../part-order.ts';
import { RootDirectory } from '../root-directory.ts';
import { onBucket } from './errors.ts';
import {
  MultipartNotFound,
  ObjectNotFound,
  PreconditionFailed,
  RangeNotSatisfiable,
  StoreUnavailable,
  type ByteRange,
  type Listing,
  type ListOptions,
  type MoveSource,
  type MultipartUpload,
  type ObjectHead,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
  type StoreLimits,
  type UploadedPart,
} from '../store.ts';

/** Where a bucket of SCS is and how to work with it. */
export interface ScsOptions {
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Undefined where the endpoint was named itself. */
  readonly region: string | undefined;
  /** Scheme, host and port. */
  readonly endpoint: string;
  /** Folder of the bucket that everything lies below, without slashes at its ends; empty for none. */
  readonly rootDirectory: string;
  /** Bytes of a part of a multipart upload, where nothing calls for larger ones. */
  readonly partSize: number;
  /** Whether the server's certificate is not checked. */
  readonly skipVerify?: boolean;
  /** For how long a request is sent again; as SCS's own SDK does unless given. */
  readonly retryPolicy?: RetryPolicy;
}

const MiB = 1024 ** 2;

/** Keys a listing asks for, as the registry before this one did. */
const largestPage = 100;

/** Objects in a bucket of SCS, which renames on the server and knows no conditions. */
export class ScsStore implements ObjectStore {
  readonly #options: ScsOptions;
  readonly #bucket: ScsBucket;
  readonly #bodies = new BodyLimit();
  readonly #root: RootDirectory;
  #answers = false;

  constructor(options: ScsOptions) {
    const { accessKey, secretKey } = options;
    this.#options = options;
    this.#bucket = new ScsBucket({ ...options, keys: { accessKey, secretKey }, signal: deadlineSignal });
    this.#root = new RootDirectory(options.rootDirectory);
  }

  /** SCS says nothing of the size and number of parts but that 5 MiB are the least; the others are S3's. */
  get limits(): StoreLimits {
    return {
      minPartSize: 5 * MiB,
      partSize: this.#options.partSize,
      maxPartSize: 5 * 1024 * MiB,
      maxParts: 10_000,
      parallelParts: 4,
      equalParts: false,
      replacesParts: true,
      conditionalWrites: false,
    };
  }

  /**
   * Lists one key, which a wrong key, region or bucket does not let through.
   * @throws StoreUnavailable with the cause and the setting to look at
   */
  async check(): Promise<void> {
    await this.list({ limit: 1 });
    this.#answers = true;
  }

  async head(key: string): Promise<ObjectHead> {
    const headers = await this.#do(key, async (full) => await this.#bucket.head(full).catch(this.#gone));
    return { key, ...headers };
  }

  /** An answer to HEAD has no body, and so no code: it does not tell a missing bucket from a missing object. */
  readonly #gone = async (error: unknown): Promise<never> => {
    if (!(error instanceof ScsError) || error.code !== 'HTTP404') throw error;
    if (!this.#answers) await this.check();
    throw new ScsError('NoSuchKey', '', { status: 404 });
  };

  async open(key: string, range?: ByteRange): Promise<OpenObject> {
    return await this.#open(key, range, this.#bodies);
  }

  async #open(key: string, range?: ByteRange, limit?: BodyLimit): Promise<OpenObject> {
    return await openReconnecting(async (part) => await this.#get(key, part), range, limit);
  }

  async #get(key: string, range?: ByteRange): Promise<FetchedObject> {
    const { body, ...headers } = await this.#do(key, async (full) => {
      try {
        return await this.#bucket.get(full, range);
      } catch (error) {
        if (!(error instanceof ScsError) || error.status !== 416) throw error;
        throw new RangeNotSatisfiable(key, (await this.head(key)).size);
      }
    });
    return { key, ...headers, start: contentStart(body.headers['content-range']), body };
  }

  async read(key: string, limit: number): Promise<ObjectHead & { readonly bytes: Buffer }> {
    return await readWhole(async () => await this.#open(key), limit);
  }

  async signedUrl(key: string, expiresIn: number): Promise<URL> {
    const expires = Math.floor(Date.now() / 1000) + expiresIn;
    return await this.#do(key, (full) => Promise.resolve(this.#bucket.signedUrl(full, expires)));
  }

  async put(key: string, bytes: Uint8Array, { metadata = {} }: PutOptions = {}): Promise<ObjectInfo> {
    const etag = await this.#do(key, async (full) => await this.#bucket.put(full, bytes, { metadata }));
    return { key, size: bytes.byteLength, lastModified: new Date(), etag };
  }

  async move(from: string, to: string, source?: MoveSource): Promise<void> {
    if (source !== undefined || from === to) {
      const { etag } = await this.head(from);
      if (source !== undefined && source.etag !== etag) throw new PreconditionFailed(from);
    }
    if (from === to) return;
    await this.#do(from, async (full) => {
      const target = this.#root.fullKey(to);
      try {
        await this.#bucket.rename(full, target);
      } catch (error) {
        if (!(await this.#wasRenamed(error, to, source))) throw error;
      }
    });
  }

  /** An attempt whose answer was lost may have done it; then the next one finds nothing to rename. */
  async #wasRenamed(error: unknown, to: string, source: MoveSource | undefined): Promise<boolean> {
    if (!(error instanceof ScsError) || error.code !== 'NoSuchKey' || error.attempts === 1) return false;
    if (source === undefined) return false;
    try {
      const there = await this.head(to);
      return there.etag === source.etag && there.size === source.size;
    } catch (failure) {
      if (failure instanceof ObjectNotFound) return false;
      throw failure;
    }
  }

  /** SCS copies whole objects only. */
  concatenate(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async delete(keys: readonly string[]): Promise<void> {
    const full = keys.map((key) => this.#root.fullKey(key));
    for (let i = 0; i < full.length; i += maxDeleted) await this.#deleteSome(full.slice(i, i + maxDeleted));
  }

  async #deleteSome(keys: readonly string[]): Promise<void> {
    const [first = ''] = keys;
    const failures = await onBucket(this.#options, this.#root.ownKey(first), async () => {
      if (keys.length > 1) return await this.#bucket.deleteMany(keys);
      await this.#bucket.delete(first).catch(ignore('NoSuchKey'));
      return [];
    });
    const wrong = failures.filter(({ code }) => code !== 'NoSuchKey');
    if (wrong[0] !== undefined)
      throw new StoreUnavailable(
        this.#root.ownKey(wrong[0].key),
        `the bucket did not delete ${wrong.length} of ${keys.length} objects: ${wrong[0].code}`,
      );
  }

  async list(options: ListOptions): Promise<Listing> {
    const request = async (page: PageRequest) => await this.#requestPage(page);
    const bucket = { name: this.#options.bucket, largestPage, request, startsInFolders: true };
    return await listPage(bucket, options);
  }

  async #requestPage({ prefix, delimiter, after, maxKeys }: PageRequest): Promise<PageResponse> {
    const query = {
      prefix: this.#root.prefix(prefix),
      marker: after === '' ? '' : this.#root.prefix(after),
      maxKeys,
      ...(delimiter !== undefined && { delimiter }),
    };
    const page = await onBucket(this.#options, prefix, async () => await this.#bucket.list(query));
    return {
      objects: page.objects.map((object) => ({ ...object, key: this.#root.ownKey(object.key) })),
      prefixes: page.prefixes.map((one) => this.#root.ownKey(one)),
      isTruncated: page.isTruncated,
    };
  }

  async createMultipart(key: string, { metadata = {} }: Pick<PutOptions, 'metadata'> = {}): Promise<string> {
    return await this.#do(key, async (full) => await this.#bucket.createMultipart(full, { metadata }));
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    const etag = await this.#do(
      key,
      async (full) => await this.#bucket.uploadPart(full, uploadId, number, bytes),
    );
    return { number, etag, size: bytes.byteLength };
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    assertOrder(key, parts);
    const etag = await this.#do(
      key,
      async (full) => await this.#bucket.completeMultipart(full, uploadId, parts),
    );
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    return { key, size, lastModified: new Date(), etag };
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    try {
      await this.#do(key, async (full) => {
        await this.#bucket.abortMultipart(full, uploadId);
      });
    } catch (error) {
      if (!(error instanceof MultipartNotFound)) throw error;
    }
  }

  async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    let markers: ListUploadsOptions | undefined = {};
    while (markers !== undefined) {
      const page = await this.#uploadsAfter(markers, prefix);
      for (const { key, ...upload } of page.uploads) yield { key: this.#root.ownKey(key), ...upload };
      const { nextKeyMarker: keyMarker, nextUploadIdMarker: uploadIdMarker } = page;
      const isStuck = keyMarker === markers.keyMarker && uploadIdMarker === markers.uploadIdMarker;
      if (page.isTruncated && (isStuck || keyMarker === ''))
        throw stalledListing(prefix, this.#options.bucket);
      markers = page.isTruncated ? { keyMarker, uploadIdMarker } : undefined;
    }
  }

  async #uploadsAfter(markers: ListUploadsOptions, prefix: string): Promise<UploadListing> {
    const query = { ...markers, prefix: this.#root.prefix(prefix) };
    return await onBucket(this.#options, prefix, async () => await this.#bucket.listMultiparts(query));
  }

  /** Closes idle connections. */
  close(): void {
    this.#bucket.close();
  }

  /** Does something with an object. Its failure becomes a StoreError. */
  async #do<T>(key: string, work: (fullKey: string) => Promise<T>): Promise<T> {
    const full = this.#root.fullKey(key);
    return await onBucket(this.#options, key, async () => await work(full));
  }
}

function ignore(code: string): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof ScsError) || error.code !== code) throw error;
  };
}
