import type { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type GetObjectCommandOutput,
  type HeadObjectCommandOutput,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import {
  bodyLimit,
  contentStart,
  openReconnecting,
  readWhole,
  type FetchedObject,
  type OpenObject,
} from '../bodies.ts';
import type { ObserveBucketRequest } from '../bucket-requests.ts';
import { withoutDeadline } from '../deadline.ts';
import { S3Bucket, type ProbeKey, type S3Options } from './bucket.ts';
import { concatenateObjects, copyObject } from './copy.ts';
import { failureOf } from './errors.ts';
import { notS3, listObjects, unquote } from './listing.ts';
import { S3Multiparts } from './multipart.ts';
import {
  ObjectNotFound,
  ObjectTooLarge,
  ObjectUnreadable,
  PreconditionFailed,
  RangeNotSatisfiable,
  s3Limits,
  StoreUnavailable,
  type ByteRange,
  type ConcatenateOptions,
  type Listing,
  type ListOptions,
  type MoveSource,
  type ObjectHead,
  type ObjectInfo,
  type ObjectStore,
  type Piece,
  type PutOptions,
  type StoreLimits,
} from '../store.ts';

/** Most keys of one DeleteObjects. */
const maxDeleted = 1000;

/** Retries of a write that conflicts with a concurrent one ("PutObject", ConditionalRequestConflict). */
const conflictRetries = 5;

/** Objects in a bucket of S3 or of a compatible server. */
export class S3Store extends S3Multiparts implements ObjectStore {
  readonly #bodies: ConcurrencyLimit;
  #conditionalWrites: Promise<boolean> | undefined;
  #knownConditionalWrites: boolean;
  #isReachable = false;
  readonly #warn: (message: string) => void;

  /** @param warn called with problems that do not fail requests */
  constructor(
    options: S3Options,
    warn: (message: string) => void = () => undefined,
    probeKey: ProbeKey = () => `probe-${randomUUID()}/data`,
    observe?: ObserveBucketRequest,
    workers = 1,
  ) {
    super(new S3Bucket(options, warn, probeKey, observe));
    this.#bodies = bodyLimit(workers);
    this.#warn = warn;
    this.#knownConditionalWrites = options.conditionalWrites ?? false;
    if (options.conditionalWrites !== undefined)
      this.#conditionalWrites = Promise.resolve(options.conditionalWrites);
  }

  get clockOffsetMs(): number {
    return this.bucket.clock.offsetMs;
  }

  get limits(): StoreLimits {
    const { partSize, equalParts = false } = this.bucket.options;
    return {
      ...s3Limits,
      partSize,
      parallelParts: 4,
      equalParts,
      replacesParts: true,
      honoursOnlyIfAbsent: this.#knownConditionalWrites,
      honoursIfMatch: this.#knownConditionalWrites,
    };
  }

  /**
   * Checks the settings against the bucket, and probes for conditional writes unless a setting says whether it supports them.
   * @param readOnly skips the probe, which writes
   * @throws StoreUnavailable with the cause and the setting to check
   */
  async check({ readOnly = false } = {}): Promise<void> {
    await this.#assertReachable();
    if (readOnly) return;
    try {
      await this.#hasConditionalWrites();
    } catch (error) {
      // Probed again before the first conditional write.
      if (!(error instanceof ObjectUnreadable)) throw error;
      this.#warn(
        `nothing can be written: what is there is served, but pushes and deletes fail; ${error.message}`,
      );
    }
  }

  async head(key: string): Promise<ObjectHead> {
    const response = await this.bucket.send(key, new HeadObjectCommand(this.bucket.object(key)), {
      recover: async (error) => {
        if (failureOf(error).status !== 404) throw error;
        await this.#assertReachable();
        throw new ObjectNotFound(key);
      },
    });
    return headOf(key, response, response.ContentLength ?? 0, this.bucket);
  }

  /** Probed once, as a 404 to HEAD does not distinguish a missing bucket from a missing object. */
  async #assertReachable(): Promise<void> {
    if (this.#isReachable) return;
    await this.list({ limit: 1 });
    this.#isReachable = true;
  }

  async open(key: string, range?: ByteRange): Promise<OpenObject> {
    return await openReconnecting(async (part) => await this.#get(key, part), range, this.#bodies);
  }

  async #get(key: string, range?: ByteRange): Promise<FetchedObject> {
    const input = {
      ...this.bucket.object(key),
      ...(range && { Range: `bytes=${range.start}-${range.end ?? ''}` }),
    };
    const response = await this.bucket.send(key, new GetObjectCommand(input), {
      recover: async (error) => {
        if (failureOf(error).status !== 416) throw error;
        throw new RangeNotSatisfiable(key, (await this.head(key)).size);
      },
    });
    return {
      ...headOf(key, response, wholeSize(response), this.bucket),
      start: contentStart(response.ContentRange),
      body: response.Body as Readable,
    };
  }

  async read(key: string, limit: number): Promise<ObjectHead & { readonly bytes: Buffer }> {
    return await readWhole(async (part) => await this.#get(key, part), limit);
  }

  async signedUrl(key: string, expiresIn: number): Promise<URL> {
    const command = new GetObjectCommand(this.bucket.object(key));
    const signing = { expiresIn, signingDate: this.bucket.clock.now() };
    const sign = async () => await getSignedUrl(this.bucket.client, command, signing);
    return new URL(await this.bucket.run(key, sign));
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<ObjectInfo> {
    const { onlyIfAbsent = false, ifMatch, metadata = {} } = options;
    const conditional = (onlyIfAbsent || ifMatch !== undefined) && (await this.#hasConditionalWrites());
    const input = {
      ...this.bucket.newObject(key),
      Body: bytes,
      Metadata: { ...metadata },
      ...(conditional && onlyIfAbsent && { IfNoneMatch: '*' }),
      ...(conditional && ifMatch !== undefined && { IfMatch: `"${ifMatch}"` }),
    };
    const etag = await this.bucket.run(
      key,
      async (requestOptions) => await this.#put(key, input, requestOptions),
    );
    return { key, size: bytes.byteLength, lastModified: new Date(), etag };
  }

  async #put(
    key: string,
    input: ConstructorParameters<typeof PutObjectCommand>[0],
    requestOptions: object,
  ): Promise<string> {
    for (let conflicts = 0; ; conflicts++) {
      try {
        return unquote((await this.bucket.client.send(new PutObjectCommand(input), requestOptions)).ETag);
      } catch (error) {
        const { status, code } = failureOf(error);
        const conditional = input.IfMatch !== undefined || input.IfNoneMatch !== undefined;
        if (status === 501 && conditional) throw this.#noConditions(key);
        if (status === 409 && conflicts < conflictRetries) {
          await delay(Math.random() * 50 * 2 ** conflicts);
          continue;
        }
        const isGone = code === 'NoSuchKey' && input.IfMatch !== undefined;
        const refused = status === 412 || status === 409 || isGone;
        if (!refused) throw error;
        // An earlier attempt whose response was lost may have written this very content.
        const etag =
          conditional && wasRetried(error)
            ? await this.#etagIfSame(key, input.Body as Uint8Array)
            : undefined;
        if (etag === undefined) throw new PreconditionFailed(key);
        return etag;
      }
    }
  }

  #noConditions(key: string): StoreUnavailable {
    const { endpoint = 'S3' } = this.bucket.options;
    return new StoreUnavailable(
      key,
      `${endpoint} does not know If-Match; set REGISTRY_STORAGE_S3_CONDITIONALWRITES=false`,
    );
  }

  async #etagIfSame(key: string, bytes: Uint8Array): Promise<string | undefined> {
    try {
      const { bytes: current, etag } = await this.read(key, bytes.byteLength);
      return current.equals(bytes) ? etag : undefined;
    } catch (error) {
      if (error instanceof ObjectNotFound || error instanceof ObjectTooLarge) return undefined;
      throw error;
    }
  }

  async move(from: string, to: string, source?: MoveSource): Promise<void> {
    if (from === to) {
      const { etag } = await this.head(from);
      if (source !== undefined && source.etag !== etag) throw new PreconditionFailed(from);
      return;
    }
    await copyObject(this.bucket, this, { from, to, source: source ?? (await this.head(from)) });
  }

  async concatenate(to: string, pieces: readonly Piece[], options: ConcatenateOptions): Promise<boolean> {
    return await concatenateObjects(this.bucket, this, to, pieces, options);
  }

  async delete(keys: readonly string[]): Promise<void> {
    const full = keys.map((key) => this.bucket.root.fullKey(key));
    for (let i = 0; i < full.length; i += maxDeleted) await this.#deleteBatch(full.slice(i, i + maxDeleted));
  }

  async #deleteBatch(keys: readonly string[]): Promise<void> {
    const [first = ''] = keys;
    const Objects = keys.map((Key) => ({ Key }));
    const input = { Bucket: this.bucket.name, Delete: { Objects, Quiet: true } };
    const { Errors = [] } = await this.bucket.send(first, new DeleteObjectsCommand(input));
    const [failed] = Errors.filter(({ Code }) => Code !== 'NoSuchKey');
    if (failed !== undefined)
      throw new StoreUnavailable(
        this.bucket.root.ownKey(failed.Key ?? first),
        `the bucket did not delete ${Errors.length} of ${keys.length} objects: ${failed.Code ?? 'no reason given'}`,
      );
  }

  async list(options: ListOptions): Promise<Listing> {
    return await listObjects(this.bucket, options);
  }

  /** Closes idle connections. */
  close(): void {
    this.bucket.client.destroy();
  }

  async #hasConditionalWrites(): Promise<boolean> {
    this.#conditionalWrites ??= withoutDeadline(async () => await this.#probeConditionalWrites());
    try {
      this.#knownConditionalWrites = await this.#conditionalWrites;
    } catch (error) {
      this.#conditionalWrites = undefined;
      throw error;
    }
    return this.#knownConditionalWrites;
  }

  /**
   * Writes on condition that a missing object has a certain ETag, which a server that honours conditions refuses. Some
   * servers refuse any condition (Swift, 501), some ignore them.
   */
  async #probeConditionalWrites(): Promise<boolean> {
    const key = this.bucket.probeKey('object');
    const input = {
      ...this.bucket.object(key),
      Body: new Uint8Array(),
      IfMatch: '"00000000000000000000000000000000"',
    };
    const outcome = await this.bucket.send(key, new PutObjectCommand(input), {
      recover: (error) => {
        const { status, code } = failureOf(error);
        if (status === 412 || code === 'NoSuchKey') return 'honoured';
        if (status === 501 || status === 400) return 'unsupported';
        throw error;
      },
    });
    if (typeof outcome === 'object') await this.delete([key]);
    return outcome === 'honoured';
  }
}

function wasRetried(error: unknown): boolean {
  const { $metadata } = error as { $metadata?: { attempts?: number } };
  return ($metadata?.attempts ?? 1) > 1;
}

function headOf(
  key: string,
  response: Pick<HeadObjectCommandOutput | GetObjectCommandOutput, 'LastModified' | 'ETag' | 'Metadata'>,
  size: number,
  bucket: S3Bucket,
): ObjectHead {
  if (response.ETag === undefined) throw notS3(key, bucket);
  return {
    key,
    size,
    lastModified: response.LastModified ?? new Date(0),
    etag: unquote(response.ETag),
    metadata: response.Metadata ?? {},
  };
}

function wholeSize({ ContentRange, ContentLength = 0 }: GetObjectCommandOutput): number {
  const [, total] = /\/(\d+)$/.exec(ContentRange ?? '') ?? [];
  return total === undefined ? ContentLength : Number(total);
}
