import type { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { maxDeleted, ScsBucket, type ListUploadsOptions } from './client/bucket.ts';
import type { RetryPolicy } from './client/connection.ts';
import { ScsError } from './client/errors.ts';
import type { UploadListing } from './client/listings.ts';
import {
  bodyLimit,
  contentStart,
  openReconnecting,
  readWhole,
  type FetchedObject,
  type OpenObject,
} from '../bodies.ts';
import type { ObserveBucketRequest } from '../bucket-requests.ts';
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
  s3Limits,
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

/** Where a bucket of SCS is and how to use it. */
export interface ScsOptions {
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Undefined if the endpoint was configured itself. */
  readonly region: string | undefined;
  /** Scheme, host and port. */
  readonly endpoint: string;
  /** Folder of the bucket for all objects, without leading or trailing slash; empty for none. */
  readonly rootDirectory: string;
  /** Default part size of a multipart upload in bytes. */
  readonly partSize: number;
  /** Accepts any server certificate. */
  readonly skipVerify?: boolean;
  /** Default: the policy of SCS's own SDK. */
  readonly retryPolicy?: RetryPolicy;
}

/** Keys of one list request, as in the original registry. */
const maxPageSize = 100;

/** Objects in a bucket of SCS, which supports rename but no conditional requests. */
export class ScsStore implements ObjectStore {
  readonly #options: ScsOptions;
  readonly #bucket: ScsBucket;
  readonly #bodies: ConcurrencyLimit;
  readonly #root: RootDirectory;
  #isReachable = false;

  constructor(options: ScsOptions, observe?: ObserveBucketRequest, workers = 1) {
    this.#bodies = bodyLimit(workers);
    const { accessKey, secretKey } = options;
    this.#options = options;
    const keys = { accessKey, secretKey };
    this.#bucket = new ScsBucket({ ...options, keys, signal: deadlineSignal, observe });
    this.#root = new RootDirectory(options.rootDirectory);
  }

  get limits(): StoreLimits {
    return {
      ...s3Limits,
      partSize: this.#options.partSize,
      parallelParts: 4,
      equalParts: false,
      replacesParts: true,
      honoursOnlyIfAbsent: false,
      honoursIfMatch: false,
    };
  }

  /**
   * Lists one key, which fails if the keys, region or bucket are wrong.
   * @throws StoreUnavailable with the cause and the setting to check
   */
  async check(): Promise<void> {
    await this.list({ limit: 1 });
    this.#isReachable = true;
  }

  async head(key: string): Promise<ObjectHead> {
    const headers = await this.#onObject(
      key,
      async (full) => await this.#bucket.head(full).catch(this.#notFound),
    );
    return { key, ...headers };
  }

  /** A 404 to HEAD does not distinguish a missing bucket from a missing object. */
  readonly #notFound = async (error: unknown): Promise<never> => {
    if (!(error instanceof ScsError) || error.code !== 'HTTP404') throw error;
    if (!this.#isReachable) await this.check();
    throw new ScsError('NoSuchKey', '', { status: 404 });
  };

  async open(key: string, range?: ByteRange): Promise<OpenObject> {
    return await openReconnecting(async (part) => await this.#get(key, part), range, this.#bodies);
  }

  async #get(key: string, range?: ByteRange): Promise<FetchedObject> {
    const { body, ...headers } = await this.#onObject(key, async (full) => {
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
    return await readWhole(async (part) => await this.#get(key, part), limit);
  }

  async signedUrl(key: string, expiresIn: number): Promise<URL> {
    const expires = Math.floor(Date.now() / 1000) + expiresIn;
    return await this.#onObject(key, (full) => Promise.resolve(this.#bucket.signedUrl(full, expires)));
  }

  async put(key: string, bytes: Uint8Array, { metadata = {} }: PutOptions = {}): Promise<ObjectInfo> {
    const etag = await this.#onObject(key, async (full) => await this.#bucket.put(full, bytes, { metadata }));
    return { key, size: bytes.byteLength, lastModified: new Date(), etag };
  }

  async move(from: string, to: string, source?: MoveSource): Promise<void> {
    if (source !== undefined || from === to) {
      const { etag } = await this.head(from);
      if (source !== undefined && source.etag !== etag) throw new PreconditionFailed(from);
    }
    if (from === to) return;
    await this.#onObject(from, async (full) => {
      const target = this.#root.fullKey(to);
      try {
        await this.#bucket.rename(full, target);
      } catch (error) {
        if (!(await this.#wasRenamed(error, to, source))) throw error;
      }
    });
  }

  /** Whether an earlier attempt, whose response was lost, has renamed the object. */
  async #wasRenamed(error: unknown, to: string, source: MoveSource | undefined): Promise<boolean> {
    if (!(error instanceof ScsError) || error.code !== 'NoSuchKey' || error.attempts === 1) return false;
    if (source === undefined) return false;
    try {
      const { etag, size } = await this.head(to);
      return etag === source.etag && size === source.size;
    } catch (failure) {
      if (failure instanceof ObjectNotFound) return false;
      throw failure;
    }
  }

  /** Unsupported: SCS copies whole objects only. */
  concatenate(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async delete(keys: readonly string[]): Promise<void> {
    const full = keys.map((key) => this.#root.fullKey(key));
    for (let i = 0; i < full.length; i += maxDeleted) await this.#deleteBatch(full.slice(i, i + maxDeleted));
  }

  async #deleteBatch(keys: readonly string[]): Promise<void> {
    const [first = ''] = keys;
    const failures = await onBucket(this.#options, this.#root.ownKey(first), async () => {
      if (keys.length > 1) return await this.#bucket.deleteMany(keys);
      await this.#bucket.delete(first).catch((error: unknown) => {
        if (!(error instanceof ScsError) || error.code !== 'NoSuchKey') throw error;
      });
      return [];
    });
    const failed = failures.filter(({ code }) => code !== 'NoSuchKey');
    if (failed[0] !== undefined)
      throw new StoreUnavailable(
        this.#root.ownKey(failed[0].key),
        `the bucket did not delete ${failed.length} of ${keys.length} objects: ${failed[0].code}`,
      );
  }

  async list(options: ListOptions): Promise<Listing> {
    const request = async (page: PageRequest) => await this.#requestPage(page);
    const bucket = { name: this.#options.bucket, maxPageSize, request, startsInFolders: true };
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
    return await this.#onObject(key, async (full) => await this.#bucket.createMultipart(full, { metadata }));
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    const etag = await this.#onObject(
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
    const etag = await this.#onObject(
      key,
      async (full) => await this.#bucket.completeMultipart(full, uploadId, parts),
    );
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    return { key, size, lastModified: new Date(), etag };
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    try {
      await this.#onObject(key, async (full) => {
        await this.#bucket.abortMultipart(full, uploadId);
      });
    } catch (error) {
      if (!(error instanceof MultipartNotFound)) throw error;
    }
  }

  async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    let markers: ListUploadsOptions | undefined = {};
    while (markers !== undefined) {
      const query: ListUploadsOptions = { ...markers, prefix: this.#root.prefix(prefix) };
      const list = async () => await this.#bucket.listMultiparts(query);
      const { uploads, isTruncated, ...next }: UploadListing = await onBucket(this.#options, prefix, list);
      for (const { key, ...upload } of uploads) yield { key: this.#root.ownKey(key), ...upload };
      const { nextKeyMarker: keyMarker, nextUploadIdMarker: uploadIdMarker } = next;
      const isStuck = keyMarker === markers.keyMarker && uploadIdMarker === markers.uploadIdMarker;
      if (isTruncated && (isStuck || keyMarker === '')) throw stalledListing(prefix, this.#options.bucket);
      markers = isTruncated ? { keyMarker, uploadIdMarker } : undefined;
    }
  }

  /** Closes idle connections. */
  close(): void {
    this.#bucket.close();
  }

  /** Runs requests for an object. @throws StoreError */
  async #onObject<T>(key: string, work: (fullKey: string) => Promise<T>): Promise<T> {
    const full = this.#root.fullKey(key);
    return await onBucket(this.#options, key, async () => await work(full));
  }
}
