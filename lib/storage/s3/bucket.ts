import type { ObserveBucketRequest } from '../bucket-requests.ts';
import { deadlineSignal } from '../deadline.ts';
import { largeReads } from '../read-ahead.ts';
import { RootDirectory } from '../root-directory.ts';
import { ServerClock } from '../server-clock.ts';
import { isAws } from './aws-endpoints.ts';
import { BucketClient, type S3Request, type WholeResponse } from './client/client.ts';
import type { ResponseHeaders } from './client/errors.ts';
import { storeError } from './errors.ts';

/** Where a bucket is and how to use it. */
export interface S3Options {
  readonly bucket: string;
  readonly region: string;
  /** URL of a compatible server or a gateway endpoint, such as `https://minio.example.com`. Default: AWS. */
  readonly endpoint?: string | undefined;
  /** Default: the SDK's chain of environment, shared files, web identity, container and instance. */
  readonly credentials?: S3Credentials | undefined;
  /** Folder of the bucket for all objects, without leading or trailing slash; empty for none. */
  readonly rootDirectory: string;
  /** Whether the bucket is in the URL's path rather than its host. */
  readonly forcePathStyle: boolean;
  /** Encrypts objects with a KMS key, or with the bucket's own keys (AES256) if `keyId` is undefined. */
  readonly encryption?: { readonly keyId: string | undefined } | undefined;
  readonly storageClass?: string | undefined;
  /** Accepts any server certificate. */
  readonly skipVerify?: boolean;
  /** Whether the process may end after a few requests. */
  readonly startsOften?: boolean;
  /** Default part size of a multipart upload in bytes. */
  readonly partSize: number;
  /** Whether all parts of an upload but the last must have the same size, as on R2. */
  readonly equalParts?: boolean;
  /** Whether the server honours If-Match and If-None-Match on PUT; probed if undefined. */
  readonly conditionalWrites?: boolean | undefined;
  readonly copy?: CopyOptions;
  readonly fence?: FenceOptions | undefined;
}

/** How long changes can land. See docs/garbage-collection.md, "Changes that can land only for a while". */
export interface FenceOptions {
  /** Milliseconds from the answer that a change relies on until the bucket refuses it; whole seconds. Default: 2 min. */
  readonly lifetimeMs: number;
  /** Milliseconds that a server, or a proxy, may take to act on a request it has accepted, or its clock be wrong. Default: 10 min. */
  readonly marginMs: number;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** Objects above `threshold` bytes are copied in parts of `partSize` bytes, `parallel` at a time. */
export interface CopyOptions {
  readonly threshold: number;
  readonly partSize: number;
  readonly parallel: number;
}

/** Timeout for one attempt at a request that makes the server copy or assemble gigabytes. */
export const copyTimeoutMs = 15 * 60_000;

/** Resolves to what stands for the response after an error of the client, or throws. */
type Recover<R> = (error: unknown) => R | Promise<R>;

/** Makes the key of a probe. The purge of uploads removes leftover probes. */
export type ProbeKey = (kind: 'object' | 'multipart') => string;

/** A bucket's client, and what all its requests share. */
export class S3Bucket {
  readonly client: BucketClient;
  readonly options: S3Options;
  readonly clock: ServerClock;
  readonly root: RootDirectory;
  #isSwift = false;
  /** Whether copies with an ETag condition work; true until one fails. */
  supportsConditionalCopies = true;
  /** Whether the server counts the keys of a rolled-up prefix as entries of a page, which makes small pages slow. */
  countsRolledUpKeys = false;
  /** Whether the server lists multipart uploads by a key prefix; undefined until known. */
  listsUploadsByPrefix: boolean | undefined;
  readonly probeKey: ProbeKey;

  /** @param warn called with problems that do not fail requests */
  constructor(
    options: S3Options,
    warn: (message: string) => void,
    probeKey: ProbeKey,
    observe?: ObserveBucketRequest,
    workers = 1,
  ) {
    this.probeKey = probeKey;
    this.options = options;
    this.clock = new ServerClock(warn);
    this.root = new RootDirectory(options.rootDirectory);
    this.client = new BucketClient({
      ...options,
      largeReads: largeReads(workers),
      clock: this.clock,
      signal: deadlineSignal,
      observe,
      onHeaders: (headers) => {
        this.#readHeaders(headers);
      },
    });
  }

  get name(): string {
    return this.options.bucket;
  }

  get isAws(): boolean {
    return isAws(this.options.endpoint);
  }

  /** Whether a listing may start within a folder, as AWS documents and tests on Swift showed. See `PagedBucket`. */
  get startsInFolders(): boolean {
    return this.isAws || this.#isSwift;
  }

  get isSwift(): boolean {
    return this.#isSwift;
  }

  /** A request about an object. @throws InvalidKey */
  object(operation: string, method: S3Request['method'], key: string): S3Request {
    return { operation, method, key: this.root.fullKey(key) };
  }

  /** The headers of a request that creates an object. */
  newObjectHeaders(metadata: Readonly<Record<string, string>> = {}): Record<string, string> {
    const { encryption, storageClass } = this.options;
    // As distribution does; without it, a bucket may choose a type that browsers display.
    const headers: Record<string, string> = { 'content-type': 'application/octet-stream' };
    if (encryption !== undefined)
      headers['x-amz-server-side-encryption'] = encryption.keyId === undefined ? 'AES256' : 'aws:kms';
    if (encryption?.keyId !== undefined)
      headers['x-amz-server-side-encryption-aws-kms-key-id'] = encryption.keyId;
    if (storageClass !== undefined) headers['x-amz-storage-class'] = storageClass;
    for (const [name, value] of Object.entries(metadata)) headers[`x-amz-meta-${name.toLowerCase()}`] = value;
    return headers;
  }

  /** Sends a request and reads the response. @throws StoreError about `key` */
  async send<R = never>(key: string, request: S3Request, recover?: Recover<R>): Promise<WholeResponse | R> {
    return await this.about(key, async () => await this.client.exchange(request), recover);
  }

  /**
   * Does something with the client.
   * @throws StoreError about `key`, without anything the server said about signatures
   */
  async about<T, R = never>(key: string, act: () => Promise<T>, recover?: Recover<R>): Promise<T | R> {
    try {
      return await (recover === undefined ? act() : act().catch(recover));
    } catch (error) {
      throw storeError(error, key, this.options);
    }
  }

  #readHeaders(headers: ResponseHeaders): void {
    this.#isSwift ||= headers['x-openstack-request-id'] !== undefined;
    this.clock.observe(headers);
  }
}
