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
import { BodyLimit } from '../body-limit.ts';
import { openReconnecting, readWhole, contentStart, type OpenObject, type FetchedObject } from '../bodies.ts';
import { withoutDeadline } from '../deadline.ts';
import { S3Bucket, type ProbeKey, type S3Options } from './bucket.ts';
import { concatenateObjects, copyObject } from './copy.ts';
import { failureOf } from './errors.ts';
import { notS3, listObjects, unquote } from './listing.ts';
import { abortMultipart, completeMultipart, createMultipart, uploadPart } from './multipart.ts';
import { listMultiparts, unlistedUploads } from './uploads.ts';
import {
  ObjectNotFound,
  ObjectTooLarge,
  ObjectUnreadable,
  PreconditionFailed,
  RangeNotSatisfiable,
  StoreUnavailable,
  type ByteRange,
  type ConcatenateOptions,
  type Listing,
  type ListOptions,
  type MultipartUpload,
  type MoveSource,
  type ObjectHead,
  type ObjectInfo,
  type ObjectStore,
  type Piece,
  type PutOptions,
  type StoreLimits,
  type UploadedPart,
} from '../store.ts';

const MiB = 1024 ** 2;

/** Most keys one DeleteObjects takes. */
const maxDeleted = 1000;

/** Times a write is tried again that met another one of the same key ("PutObject", ConditionalRequestConflict). */
const conflictRetries = 5;

/** Objects in a bucket of S3 or of a server that is compatible with it. */
export class S3Store implements ObjectStore {
  readonly #bucket: S3Bucket;
  readonly #bodies = new BodyLimit();
  #conditionalWrites: Promise<boolean> | undefined;
  #knownConditionalWrites: boolean;
  #answers = false;
  readonly #warn: (message: string) => void;

  /** @param warn is told of what is wrong and does not keep requests from succeeding */
  constructor(
    options: S3Options,
    warn: (message: string) => void = () => undefined,
    probeKey: ProbeKey = () => `probe-${randomUUID()}/data`,
  ) {
    this.#bucket = new S3Bucket(options, warn, probeKey);
    this.#warn = warn;
    this.#knownConditionalWrites = options.conditionalWrites ?? false;
    if (options.conditionalWrites !== undefined)
      this.#conditionalWrites = Promise.resolve(options.conditionalWrites);
  }

  get clockOffsetMs(): number {
    return this.#bucket.clock.offsetMs;
  }

  get limits(): StoreLimits {
    const { partSize, equalParts = false } = this.#bucket.options;
    return {
      minPartSize: 5 * MiB,
      partSize,
      maxPartSize: 5 * 1024 * MiB,
      maxParts: 10_000,
      parallelParts: 4,
      equalParts,
      replacesParts: true,
      conditionalWrites: this.#knownConditionalWrites,
    };
  }

  /**
   * Checks the settings, and probes for conditional writes if no setting says whether the server has them.
   * @param readOnly whether to skip the probe, which writes
   * @throws StoreUnavailable with the cause and the setting to look at
   */
  async check({ readOnly = false } = {}): Promise<void> {
    await this.#assertAnswers();
    if (readOnly) return;
    try {
      await this.#hasConditionalWrites();
    } catch (error) {
      // It is asked again before the first conditional write.
      if (!(error instanceof ObjectUnreadable)) throw error;
      this.#warn(
        `nothing can be written: what is there is served, but pushes and deletes fail; ${error.message}`,
      );
    }
  }

  async head(key: string): Promise<ObjectHead> {
    const input = { Bucket: this.#bucket.name, Key: this.#bucket.fullKey(key) };
    const output = await this.#bucket.send(key, async (options) => {
      try {
        return await this.#bucket.client.send(new HeadObjectCommand(input), options);
      } catch (error) {
        // An answer to HEAD has no body, and so no code.
        if (failureOf(error).status !== 404) throw error;
        await this.#assertAnswers();
        throw new ObjectNotFound(key);
      }
    });
    return headOf(key, output, output.ContentLength ?? 0, this.#bucket);
  }

  /** A HEAD does not tell a bucket that is missing from an object that is; it is asked for once. */
  async #assertAnswers(): Promise<void> {
    if (this.#answers) return;
    await this.list({ limit: 1 });
    this.#answers = true;
  }

  async open(key: string, range?: ByteRange): Promise<OpenObject> {
    return await this.#open(key, range, this.#bodies);
  }

  async #open(key: string, range?: ByteRange, limit?: BodyLimit): Promise<OpenObject> {
    return await openReconnecting(async (part) => await this.#get(key, part), range, limit);
  }

  async #get(key: string, range?: ByteRange): Promise<FetchedObject> {
    const input = {
      Bucket: this.#bucket.name,
      Key: this.#bucket.fullKey(key),
      ...(range && { Range: `bytes=${range.start}-${range.end ?? ''}` }),
    };
    const output = await this.#bucket.send(
      key,
      async (options) =>
        await this.#bucket.client.send(new GetObjectCommand(input), options).catch(async (error: unknown) => {
          throw failureOf(error).status === 416
            ? new RangeNotSatisfiable(key, (await this.head(key)).size)
            : error;
        }),
    );
    return {
      ...headOf(key, output, wholeSize(output), this.#bucket),
      start: contentStart(output.ContentRange),
      body: output.Body as Readable,
    };
  }

  async read(key: string, limit: number): Promise<ObjectHead & { readonly bytes: Buffer }> {
    return await readWhole(async () => await this.#open(key), limit);
  }

  async signedUrl(key: string, expiresIn: number): Promise<URL> {
    const command = new GetObjectCommand({ Bucket: this.#bucket.name, Key: this.#bucket.fullKey(key) });
    const signing = { expiresIn, signingDate: this.#bucket.clock.now() };
    const sign = async () => await getSignedUrl(this.#bucket.client, command, signing);
    return new URL(await this.#bucket.send(key, sign));
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<ObjectInfo> {
    const { onlyIfAbsent = false, ifMatch, metadata = {} } = options;
    const conditional = (onlyIfAbsent || ifMatch !== undefined) && (await this.#hasConditionalWrites());
    const condition = conditional ? conditionOf(onlyIfAbsent, ifMatch) : {};
    const input = {
      Bucket: this.#bucket.name,
      Key: this.#bucket.fullKey(key),
      Body: bytes,
      Metadata: { ...metadata },
      ...this.#bucket.writeInput,
      ...condition,
    };
    const etag = await this.#bucket.send(
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
        return unquote((await this.#bucket.client.send(new PutObjectCommand(input), requestOptions)).ETag);
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
        // The condition may not hold because an earlier attempt, whose answer was lost, has written just this.
        const etag =
          conditional && wasRepeated(error)
            ? await this.#etagIfSame(key, input.Body as Uint8Array)
            : undefined;
        if (etag === undefined) throw new PreconditionFailed(key);
        return etag;
      }
    }
  }

  #noConditions(key: string): StoreUnavailable {
    const { endpoint = 'S3' } = this.#bucket.options;
    return new StoreUnavailable(
      key,
      `${endpoint} does not know If-Match; set REGISTRY_STORAGE_S3_CONDITIONALWRITES=false`,
    );
  }

  async #etagIfSame(key: string, bytes: Uint8Array): Promise<string | undefined> {
    try {
      const { bytes: there, etag } = await this.read(key, bytes.byteLength);
      return there.equals(bytes) ? etag : undefined;
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
    await copyObject(this.#bucket, this, { from, to, source: source ?? (await this.head(from)) });
  }

  async concatenate(to: string, pieces: readonly Piece[], options: ConcatenateOptions): Promise<boolean> {
    return await concatenateObjects(this.#bucket, to, pieces, options);
  }

  async delete(keys: readonly string[]): Promise<void> {
    const full = keys.map((key) => this.#bucket.fullKey(key));
    for (let i = 0; i < full.length; i += maxDeleted) await this.#deleteSome(full.slice(i, i + maxDeleted));
  }

  async #deleteSome(keys: readonly string[]): Promise<void> {
    const [first = ''] = keys;
    const Objects = keys.map((Key) => ({ Key }));
    const input = { Bucket: this.#bucket.name, Delete: { Objects, Quiet: true } };
    const { Errors = [] } = await this.#bucket.send(
      first,
      async (options) => await this.#bucket.client.send(new DeleteObjectsCommand(input), options),
    );
    const [failed] = Errors.filter(({ Code }) => Code !== 'NoSuchKey');
    if (failed !== undefined)
      throw new StoreUnavailable(
        this.#bucket.ownKey(failed.Key ?? first),
        `the bucket did not delete ${Errors.length} of ${keys.length} objects: ${failed.Code ?? 'no reason given'}`,
      );
  }

  async list(options: ListOptions): Promise<Listing> {
    return await listObjects(this.#bucket, options);
  }

  async createMultipart(key: string, options?: Pick<PutOptions, 'metadata'>): Promise<string> {
    return await createMultipart(this.#bucket, key, options);
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    return await uploadPart(this.#bucket, key, uploadId, number, bytes);
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    return await completeMultipart(this.#bucket, key, uploadId, parts);
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    await abortMultipart(this.#bucket, key, uploadId);
  }

  listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    return listMultiparts(this.#bucket, prefix);
  }

  get unlistedMultiparts(): string | undefined {
    return this.#bucket.listsUploadsByPrefix === false ? unlistedUploads : undefined;
  }

  /** Closes idle connections. */
  close(): void {
    this.#bucket.client.destroy();
  }

  async #hasConditionalWrites(): Promise<boolean> {
    this.#conditionalWrites ??= withoutDeadline(async () => await this.#tryConditionalWrite());
    try {
      this.#knownConditionalWrites = await this.#conditionalWrites;
    } catch (error) {
      this.#conditionalWrites = undefined;
      throw error;
    }
    return this.#knownConditionalWrites;
  }

  /**
   * Some servers refuse a condition they do not know (Swift, 501), some ignore it. One that honours it does not write on
   * the condition that a missing object has a certain ETag.
   */
  async #tryConditionalWrite(): Promise<boolean> {
    const key = this.#bucket.probeKey('object');
    const input = {
      Bucket: this.#bucket.name,
      Key: this.#bucket.fullKey(key),
      Body: new Uint8Array(),
      IfMatch: '"00000000000000000000000000000000"',
    };
    const written = await this.#bucket.send(key, async (options) => {
      try {
        await this.#bucket.client.send(new PutObjectCommand(input), options);
        return true;
      } catch (error) {
        const { status, code } = failureOf(error);
        if (status === 412 || code === 'NoSuchKey') return false;
        if (status === 501 || status === 400) return undefined;
        throw error;
      }
    });
    if (written === true) await this.delete([key]);
    return written === false;
  }
}

function conditionOf(onlyIfAbsent: boolean, ifMatch: string | undefined) {
  return {
    ...(onlyIfAbsent && { IfNoneMatch: '*' }),
    ...(ifMatch !== undefined && { IfMatch: `"${ifMatch}"` }),
  };
}

function wasRepeated(error: unknown): boolean {
  const { $metadata } = error as { $metadata?: { attempts?: number } };
  return ($metadata?.attempts ?? 1) > 1;
}

function headOf(
  key: string,
  output: Pick<HeadObjectCommandOutput | GetObjectCommandOutput, 'LastModified' | 'ETag' | 'Metadata'>,
  size: number,
  bucket: S3Bucket,
): ObjectHead {
  if (output.ETag === undefined) throw notS3(key, bucket);
  return {
    key,
    size,
    lastModified: output.LastModified ?? new Date(0),
    etag: unquote(output.ETag),
    metadata: output.Metadata ?? {},
  };
}

function wholeSize({ ContentRange, ContentLength = 0 }: GetObjectCommandOutput): number {
  const [, total] = /\/(\d+)$/.exec(ContentRange ?? '') ?? [];
  return total === undefined ? ContentLength : Number(total);
}
