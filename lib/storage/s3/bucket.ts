import { createHash } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import {
  S3Client,
  type S3ClientConfig,
  type ServerSideEncryption,
  type StorageClass,
} from '@aws-sdk/client-s3';
import { assertNotExpired, deadlineSignal } from '../deadline.ts';
import { isAws } from './aws-endpoints.ts';
import { RootDirectory } from '../root-directory.ts';
import { storeError } from './errors.ts';
import { ServerClock } from '../server-clock.ts';

/** Where a bucket is and how to work with it. */
export interface S3Options {
  readonly bucket: string;
  readonly region: string;
  /** Of a compatible server or a gateway endpoint, such as `https://minio.example.com`. Without it, AWS. */
  readonly endpoint?: string | undefined;
  /** Without them the SDK's chain: environment, shared files, web identity, container, instance. */
  readonly credentials?: S3Credentials | undefined;
  /** Folder of the bucket that everything lies below, without slashes at its ends; empty for none. */
  readonly rootDirectory: string;
  /** Whether the bucket stands in the URL's path and not in its host. */
  readonly forcePathStyle: boolean;
  /** Whether objects are encrypted with the bucket's own keys (AES256) or with a key of KMS. */
  readonly encryption?: { readonly keyId: string | undefined } | undefined;
  readonly storageClass?: StorageClass | undefined;
  /** Whether the server's certificate is not checked. */
  readonly skipVerify?: boolean;
  /** Bytes of a part of a multipart upload, where nothing calls for larger ones. */
  readonly partSize: number;
  /** Whether all parts of an upload but the last must have one size, as on R2. */
  readonly equalParts?: boolean;
  /** Whether the server honours If-Match and If-None-Match on PUT; it is asked when that is not known. */
  readonly conditionalWrites?: boolean | undefined;
  /** How large objects are copied; see {@link CopyOptions}. */
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

/** Milliseconds until a server must have begun to answer one attempt at a request that is little work. */
const answerWithin = 10_000;

/** And until it must have done so at all: a gateway gives up on us after 30 s. */
const answerInAll = 25_000;

/** The same where it has to copy or put together gigabytes before it answers. */
export const copyTimeoutMs = 15 * 60_000;

/** Milliseconds an open connection may be silent in the middle of a body. */
const silence = 5 * 60_000;

/** Attempts at one request. Between them the SDK waits, longer each time and for a random part of that. */
const attempts = 5;

export type RequestOptions = Readonly<{ requestTimeout: number; abortSignal: AbortSignal }>;

/** A new key for a write that finds out what a server can do. Should one stay there, a purge of uploads removes it. */
export type ProbeKey = (kind: 'object' | 'multipart') => string;

/** A bucket's client and what every request to it has in common. */
export class S3Bucket {
  readonly client: S3Client;
  readonly options: S3Options;
  readonly clock: ServerClock;
  readonly #root: RootDirectory;
  #isSwift = false;
  /** Whether the server has not failed yet to compare the ETag of what it is to copy. */
  supportsConditionalCopies = true;
  /** Whether the server has counted keys of one rolled-up prefix as entries of a page: then small pages are slow. */
  countsRolledUpKeys = false;
  /** Whether the server lists multipart uploads by the beginning of their keys; undefined until that is known. */
  listsUploadsByPrefix: boolean | undefined;
  readonly probeKey: ProbeKey;

  /** @param warn is told of what is wrong and does not keep requests from succeeding */
  constructor(options: S3Options, warn: (message: string) => void, probeKey: ProbeKey) {
    this.probeKey = probeKey;
    this.options = options;
    this.clock = new ServerClock(warn);
    this.#root = new RootDirectory(options.rootDirectory);
    this.client = new S3Client(clientConfig(options));
    this.#md5InsteadOfChecksums();
    this.#sendInTime();
    this.#readHeaders();
  }

  get name(): string {
    return this.options.bucket;
  }

  /** Whether it is a bucket of AWS, which does as its documentation says. */
  get isAws(): boolean {
    return isAws(this.options.endpoint);
  }

  /** Whether a listing may start in a folder: AWS says that it may, and on Swift it was tried. See `PagedBucket`. */
  get startsInFolders(): boolean {
    return this.isAws || this.#isSwift;
  }

  /** The key as the bucket has it. @throws InvalidKey */
  fullKey(key: string): string {
    return this.#root.fullKey(key);
  }

  /** The same for a beginning of keys, which may be anything. */
  prefix(prefix: string): string {
    return this.#root.prefix(prefix);
  }

  /** The key as the registry knows it. */
  ownKey(fullKey: string): string {
    return this.#root.ownKey(fullKey);
  }

  /** What every request that makes an object says of it. */
  get writeInput(): {
    ServerSideEncryption?: ServerSideEncryption;
    SSEKMSKeyId?: string;
    StorageClass?: StorageClass;
    ContentType: string;
  } {
    const { encryption, storageClass } = this.options;
    return {
      ...(encryption && { ServerSideEncryption: encryption.keyId === undefined ? 'AES256' : 'aws:kms' }),
      ...(encryption?.keyId !== undefined && { SSEKMSKeyId: encryption.keyId }),
      ...(storageClass && { StorageClass: storageClass }),
      // As distribution's; a bucket may make of none what a browser would show.
      ContentType: 'application/octet-stream',
    };
  }

  /**
   * Sends a request. Its failure becomes a StoreError about `key`, with nothing in it that the server has said of
   * signatures.
   * @param within milliseconds for one attempt, where that is much work for the server
   */
  async send<T>(key: string, request: (options: RequestOptions) => Promise<T>, within?: number): Promise<T> {
    const deadline = new AbortController();
    const signals = [deadline.signal, deadlineSignal()].filter((signal) => signal !== undefined);
    const timer = setTimeout(
      () => {
        deadline.abort();
      },
      within === undefined ? answerInAll : within * attempts,
    );
    try {
      return await request({ requestTimeout: within ?? answerWithin, abortSignal: AbortSignal.any(signals) });
    } catch (error) {
      throw storeError(error, key, this.options);
    } finally {
      // Before the body of the answer, which may take hours.
      clearTimeout(timer);
    }
  }

  /** Each attempt anew, which may be hours after the one before. */
  #sendInTime(): void {
    this.client.middlewareStack.add(
      (next) => async (args) => {
        assertNotExpired();
        return await next(args);
      },
      { step: 'deserialize', priority: 'low', name: 'inTime' },
    );
  }

  /**
   * DeleteObjects must carry a checksum. All servers know Content-MD5, not all the SDK's CRC32 (RFC 1864; "Checking
   * object integrity" in the S3 User Guide).
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

  /** The SDK corrects the time it signs, by answers that took long as well, but not that of signed URLs. */
  #readHeaders(): void {
    this.client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const { statusCode = 0, headers = {} } = result.response as {
          readonly statusCode?: number;
          readonly headers?: Readonly<Record<string, string>>;
        };
        this.#isSwift ||= headers['x-openstack-request-id'] !== undefined;
        // A refusal may be of something in between.
        if (statusCode < 300) this.clock.observe(headers);
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'readHeaders' },
    );
  }
}

/**
 * Bodies are not checksummed beside the signature, which covers their SHA-256: not every server knows the SDK's
 * checksums, and a multipart upload begun with them cannot be completed without all of them.
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
    maxAttempts: attempts,
    retryMode: 'standard',
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // It would take a connection of its own for each part.
    expectContinueHeader: false,
    // A wrong region is told at the start, with the right one, rather than paid for at each request.
    followRegionRedirects: false,
    requestHandler: {
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent({ ...agent, rejectUnauthorized: !skipVerify }),
      connectionTimeout: 5_000,
      requestTimeout: answerWithin,
      throwOnRequestTimeout: true,
      socketTimeout: silence,
    },
  };
}

function withoutUndefined({ sessionToken, ...keys }: S3Credentials) {
  return sessionToken === undefined ? keys : { ...keys, sessionToken };
}
