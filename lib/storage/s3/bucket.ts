import { createHash } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import {
  S3Client,
  type $Command,
  type PutObjectCommandInput,
  type S3ClientConfig,
  type S3ClientResolvedConfig,
  type ServiceInputTypes,
  type ServiceOutputTypes,
  type StorageClass,
} from '@aws-sdk/client-s3';
import type { ObserveBucketRequest } from '../bucket-requests.ts';
import { assertNotExpired, deadlineSignal } from '../deadline.ts';
import { isAws } from './aws-endpoints.ts';
import { RootDirectory } from '../root-directory.ts';
import { storeError } from './errors.ts';
import { ServerClock } from '../server-clock.ts';

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
  readonly storageClass?: StorageClass | undefined;
  /** Accepts any server certificate. */
  readonly skipVerify?: boolean;
  /** Default part size of a multipart upload in bytes. */
  readonly partSize: number;
  /** Whether all parts of an upload but the last must have the same size, as on R2. */
  readonly equalParts?: boolean;
  /** Whether the server honours If-Match and If-None-Match on PUT; probed if undefined. */
  readonly conditionalWrites?: boolean | undefined;
  readonly copy?: CopyOptions;
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

/** Timeout for the response to one attempt. */
const attemptTimeoutMs = 10_000;

/** Timeout for all attempts: a gateway gives up after 30 s. */
const totalTimeoutMs = 25_000;

/** Timeout for one attempt at a request that makes the server copy or assemble gigabytes. */
export const copyTimeoutMs = 15 * 60_000;

/** Timeout for a connection without traffic in the middle of a body. */
const idleTimeoutMs = 5 * 60_000;

/** Attempts at one request, with the SDK's exponential backoff and jitter. */
const maxAttempts = 5;

type RequestOptions = Readonly<{ requestTimeout: number; abortSignal: AbortSignal }>;

interface SendOptions<R> {
  /** Timeout for one attempt; for requests that keep the server busy. */
  readonly timeoutMs?: number;
  /** Handles an error of the SDK: resolves to another result, or throws. */
  readonly recover?: (error: unknown) => R | Promise<R>;
}

/** Makes the key of a probe. The purge of uploads removes leftover probes. */
export type ProbeKey = (kind: 'object' | 'multipart') => string;

type NewObjectFields =
  'Bucket' | 'Key' | 'ServerSideEncryption' | 'SSEKMSKeyId' | 'StorageClass' | 'ContentType';

/** A bucket's client, and what all its requests share. */
export class S3Bucket {
  readonly client: S3Client;
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
  ) {
    this.probeKey = probeKey;
    this.options = options;
    this.clock = new ServerClock(warn);
    this.root = new RootDirectory(options.rootDirectory);
    this.client = new S3Client(clientConfig(options));
    this.#md5InsteadOfChecksums();
    this.#checkDeadline();
    this.#readHeaders();
    if (observe !== undefined) this.#observe(observe);
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

  /** An object, as requests name it. @throws InvalidKey */
  object(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.name, Key: this.root.fullKey(key) };
  }

  /** An object to create. @throws InvalidKey */
  newObject(key: string): Pick<PutObjectCommandInput, NewObjectFields> {
    const { encryption, storageClass } = this.options;
    return {
      ...this.object(key),
      ...(encryption && { ServerSideEncryption: encryption.keyId === undefined ? 'AES256' : 'aws:kms' }),
      ...(encryption?.keyId !== undefined && { SSEKMSKeyId: encryption.keyId }),
      ...(storageClass && { StorageClass: storageClass }),
      // As distribution does; without it, a bucket may choose a type that browsers display.
      ContentType: 'application/octet-stream',
    };
  }

  /** Sends a command. @throws StoreError about `key` */
  async send<I extends ServiceInputTypes, O extends ServiceOutputTypes, R = never>(
    key: string,
    command: $Command<I, O, S3ClientResolvedConfig, ServiceInputTypes, ServiceOutputTypes>,
    { timeoutMs, recover }: SendOptions<R> = {},
  ): Promise<O | R> {
    const request = async (options: RequestOptions): Promise<O | R> => {
      const response = this.client.send(command, options);
      return await (recover === undefined ? response : response.catch(recover));
    };
    return await this.run(key, request, timeoutMs);
  }

  /**
   * Runs a request that needs more than {@link send}.
   * @param timeoutMs for one attempt; for requests that keep the server busy
   * @throws StoreError about `key`, without anything the server said about signatures
   */
  async run<T>(
    key: string,
    request: (options: RequestOptions) => Promise<T>,
    timeoutMs?: number,
  ): Promise<T> {
    const total = new AbortController();
    const signals = [total.signal, deadlineSignal()].filter((signal) => signal !== undefined);
    const timer = setTimeout(
      () => {
        total.abort();
      },
      timeoutMs === undefined ? totalTimeoutMs : timeoutMs * maxAttempts,
    );
    try {
      const abortSignal = AbortSignal.any(signals);
      return await request({ requestTimeout: timeoutMs ?? attemptTimeoutMs, abortSignal });
    } catch (error) {
      throw storeError(error, key, this.options);
    } finally {
      // The response's body may take hours.
      clearTimeout(timer);
    }
  }

  /** Checks the deadline before each attempt, which may come hours after the one before. */
  #checkDeadline(): void {
    this.client.middlewareStack.add(
      (next) => async (args) => {
        assertNotExpired();
        return await next(args);
      },
      { step: 'deserialize', priority: 'low', name: 'checkDeadline' },
    );
  }

  /**
   * DeleteObjects must carry a checksum. All servers support Content-MD5, but not all support the SDK's CRC32 (RFC 1864;
   * "Checking object integrity" in the S3 User Guide).
   */
  #md5InsteadOfChecksums(): void {
    this.client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          if (commandName !== 'DeleteObjectsCommand') return await next(args);
          const request = args.request as { headers: Record<string, string>; body?: unknown };
          for (const name of Object.keys(request.headers))
            if (/^x-amz-(sdk-)?checksum-/i.test(name)) Reflect.deleteProperty(request.headers, name);
          const body = request.body;
          if (typeof body === 'string' || body instanceof Uint8Array)
            request.headers['content-md5'] = createHash('md5').update(body).digest('base64');
          return await next(args);
        },
      { step: 'build', priority: 'low', name: 'contentMd5', tags: ['CHECKSUM'] },
    );
  }

  /** Added last, next to the connection, so that it sees every attempt. */
  #observe(observe: ObserveBucketRequest): void {
    this.client.middlewareStack.add(
      (next, { commandName = '' }) => {
        const operation = commandName.replace(/Command$/, '');
        return async (args) => {
          const end = observe(operation);
          try {
            const result = await next(args);
            end({ status: (result.response as { readonly statusCode?: number }).statusCode });
            return result;
          } catch (error) {
            end({ error });
            throw error;
          }
        };
      },
      { step: 'deserialize', priority: 'low', name: 'observe' },
    );
  }

  /** The SDK corrects the time it signs, even by slow responses, but not the time of signed URLs. */
  #readHeaders(): void {
    this.client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const { statusCode = 0, headers = {} } = result.response as {
          readonly statusCode?: number;
          readonly headers?: Readonly<Record<string, string>>;
        };
        this.#isSwift ||= headers['x-openstack-request-id'] !== undefined;
        // A refusal may come from a proxy.
        if (statusCode < 300) this.clock.observe(headers);
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'readHeaders' },
    );
  }
}

/**
 * Bodies have no checksum beside the signature, which covers their SHA-256: not every server supports the SDK's
 * checksums, and a multipart upload created with them cannot be completed without all of them.
 */
function clientConfig({
  region,
  endpoint,
  credentials,
  forcePathStyle,
  skipVerify = false,
}: S3Options): S3ClientConfig {
  const agent = { keepAlive: true, maxSockets: 256 };
  return {
    region,
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials && { credentials: withoutUndefined(credentials) }),
    forcePathStyle,
    maxAttempts,
    retryMode: 'standard',
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // It would cost a separate connection for each part.
    expectContinueHeader: false,
    // A wrong region is reported at start rather than redirected at each request.
    followRegionRedirects: false,
    requestHandler: {
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent({ ...agent, rejectUnauthorized: !skipVerify }),
      connectionTimeout: 5_000,
      requestTimeout: attemptTimeoutMs,
      throwOnRequestTimeout: true,
      socketTimeout: idleTimeoutMs,
    },
  };
}

function withoutUndefined({ sessionToken, ...keys }: S3Credentials) {
  return sessionToken === undefined ? keys : { ...keys, sessionToken };
}
