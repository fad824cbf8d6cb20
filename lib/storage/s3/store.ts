import type { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { bodyLimit, contentStart, openReconnecting, type FetchedObject, type OpenObject } from '../bodies.ts';
import type { ObserveBucketRequest } from '../bucket-requests.ts';
import { withoutDeadline } from '../deadline.ts';
import { S3Bucket, type ProbeKey, type S3Options } from './bucket.ts';
import type { S3Request } from './client/client.ts';
import { headerText, S3Error, type ResponseHeaders } from './client/errors.ts';
import { hasRoot, textOf } from './client/xml.ts';
import { concatenateObjects, copyObject } from './copy.ts';
import { deleteObjects } from './delete-objects.ts';
import { failureOf } from './errors.ts';
import { fenced } from './fenced.ts';
import { S3Fencing } from './fencing.ts';
import { etagOf, listObjects, notS3 } from './listing.ts';
import { S3Multiparts } from './multipart.ts';
import { countNoncurrentVersions } from './versions.ts';
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
  type DeleteOptions,
  type Fencing,
  type Listing,
  type ListOptions,
  type MoveSource,
  type NoncurrentVersions,
  type ObjectHead,
  type ObjectInfo,
  type ObjectStore,
  type Piece,
  type PutOptions,
  type StoreLimits,
} from '../store.ts';

/** Retries of a write that conflicts with a concurrent one ("PutObject", ConditionalRequestConflict). */
const conflictRetries = 5;

/** Objects in a bucket of S3 or of a compatible server. */
export class S3Store extends S3Multiparts implements ObjectStore {
  readonly #bodies: ConcurrencyLimit;
  #conditionalWrites: Promise<boolean> | undefined;
  #knownConditionalWrites: boolean;
  #isReachable = false;
  readonly #warn: (message: string) => void;
  readonly fencing: Fencing;

  /** @param warn called with problems that do not fail requests */
  constructor(
    options: S3Options,
    warn: (message: string) => void = () => undefined,
    probeKey: ProbeKey = () => `probe-${randomUUID()}/data`,
    observe?: ObserveBucketRequest,
    workers = 1,
  ) {
    super(new S3Bucket(options, warn, probeKey, observe, workers));
    this.#bodies = bodyLimit(workers);
    this.#warn = warn;
    this.fencing = new S3Fencing(this.bucket);
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

  /** Needs the right s3:GetBucketVersioning. */
  async keepsVersions(): Promise<boolean | undefined> {
    const request: S3Request = { operation: 'GetBucketVersioning', method: 'GET', query: { versioning: '' } };
    const response = await this.bucket.send('', request, () => undefined);
    if (response === undefined) return undefined;
    const page = response.body.toString();
    // Versions of the time before it was suspended stay.
    return hasRoot(page, 'VersioningConfiguration') ? textOf(page, 'Status') !== undefined : undefined;
  }

  async noncurrentVersions(prefix: string, onPage?: (listed: number) => void): Promise<NoncurrentVersions> {
    return await countNoncurrentVersions(this.bucket, prefix, onPage);
  }

  async head(key: string): Promise<ObjectHead> {
    const request = this.bucket.object('HeadObject', 'HEAD', key);
    const { headers } = await this.bucket.send(key, request, async (error) => {
      if (failureOf(error).status !== 404) throw error;
      await this.#assertReachable();
      throw new ObjectNotFound(key);
    });
    return headOf(key, headers, this.bucket);
  }

  /** Probed once, as a 404 to HEAD does not distinguish a missing bucket from a missing object. */
  async #assertReachable(): Promise<void> {
    if (this.#isReachable) return;
    await this.list({ limit: 1 });
    this.#isReachable = true;
  }

  async open(key: string, range?: ByteRange, size = Infinity): Promise<OpenObject> {
    const get = async (part?: ByteRange) => await this.#get(key, size, part);
    return await openReconnecting(get, range, this.#bodies);
  }

  async #get(key: string, size: number, range?: ByteRange): Promise<FetchedObject> {
    const request = {
      ...this.bucket.object('GetObject', 'GET', key),
      length: Math.min(size, (range?.end ?? Infinity) + 1) - (range?.start ?? 0),
      ...(range && { headers: { range: `bytes=${range.start}-${range.end ?? ''}` } }),
    };
    const { headers, body } = await this.bucket.about(
      key,
      async () => await this.bucket.client.open(request),
      async (error) => {
        if (failureOf(error).status !== 416) throw error;
        throw new RangeNotSatisfiable(key, (await this.head(key)).size);
      },
    );
    return {
      ...headOf(key, headers, this.bucket),
      start: contentStart(headerText(headers['content-range'])),
      body,
    };
  }

  async read(key: string, limit: number): Promise<ObjectHead & { readonly bytes: Buffer }> {
    const request = { ...this.bucket.object('GetObject', 'GET', key), maxBytes: limit };
    const { headers, body } = await this.bucket.send(key, request, (error) => {
      if (!(error instanceof S3Error) || error.code !== 'ResponseTooLarge') throw error;
      const size = Number(headerText(error.details.headers?.['content-length']) ?? limit + 1);
      throw new ObjectTooLarge(key, size, limit);
    });
    return { ...headOf(key, headers, this.bucket), size: body.byteLength, bytes: body };
  }

  async signedUrl(key: string, expiresIn: number): Promise<URL> {
    const full = this.bucket.root.fullKey(key);
    return await this.bucket.about(key, async () => await this.bucket.client.signedUrl(full, expiresIn));
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<ObjectInfo> {
    const { onlyIfAbsent = false, ifMatch, metadata = {} } = options;
    const conditional = (onlyIfAbsent || ifMatch !== undefined) && (await this.#hasConditionalWrites());
    const headers = this.bucket.newObjectHeaders(metadata);
    if (conditional && onlyIfAbsent) headers['if-none-match'] = '*';
    if (conditional && ifMatch !== undefined) headers['if-match'] = `"${ifMatch}"`;
    const plain = { ...this.bucket.object('PutObject', 'PUT', key), headers, body: bytes };
    const request = fenced(plain, options.fence, this.bucket.options);
    const etag = await this.bucket.about(key, async () => await this.#put(key, request));
    return { key, size: bytes.byteLength, lastModified: new Date(), etag };
  }

  async #put(key: string, request: PutRequest): Promise<string> {
    const isIfMatch = request.headers['if-match'] !== undefined;
    const conditional = isIfMatch || request.headers['if-none-match'] !== undefined;
    for (let conflicts = 0; ; conflicts++) {
      try {
        return etagOf((await this.bucket.client.exchange(request)).headers);
      } catch (error) {
        const { status, code, attempts = 1 } = failureOf(error);
        if (status === 501 && conditional) throw this.#noConditions(key);
        if (status === 409 && conflicts < conflictRetries) {
          await delay(Math.random() * 50 * 2 ** conflicts);
          continue;
        }
        const isGone = code === 'NoSuchKey' && isIfMatch;
        const refused = status === 412 || status === 409 || isGone;
        if (!refused) throw error;
        // An earlier attempt whose response was lost may have written this very content.
        const etag = conditional && attempts > 1 ? await this.#etagIfSame(key, request.body) : undefined;
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

  async delete(keys: readonly string[], { fence, isCommit }: DeleteOptions = {}): Promise<void> {
    await deleteObjects(this.bucket, keys, { fence, isCommit });
  }

  async list(options: ListOptions): Promise<Listing> {
    return await listObjects(this.bucket, options);
  }

  /** Closes all connections. */
  close(): void {
    this.bucket.client.close();
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
    const request = {
      ...this.bucket.object('PutObject', 'PUT', key),
      headers: { 'if-match': '"00000000000000000000000000000000"' },
      body: new Uint8Array(),
    };
    const outcome = await this.bucket.send(key, request, (error) => {
      const { status, code } = failureOf(error);
      if (status === 412 || code === 'NoSuchKey') return 'honoured';
      if (status === 501 || status === 400) return 'unsupported';
      throw error;
    });
    if (typeof outcome === 'object') await this.delete([key]);
    return outcome === 'honoured';
  }
}

type PutRequest = S3Request & Required<Pick<S3Request, 'headers' | 'body'>>;

/** What the headers of a response say of an object. */
function headOf(key: string, headers: ResponseHeaders, bucket: S3Bucket): ObjectHead {
  if (headers['etag'] === undefined) throw notS3(key, bucket);
  const [, total] = /\/(\d+)$/.exec(headerText(headers['content-range']) ?? '') ?? [];
  const metadata: Record<string, string> = {};
  for (const name of Object.keys(headers))
    if (name.startsWith(metadataPrefix))
      metadata[name.slice(metadataPrefix.length)] = headerText(headers[name]) ?? '';
  return {
    key,
    size: Number(total ?? headers['content-length'] ?? 0),
    lastModified: new Date(headerText(headers['last-modified']) ?? 0),
    etag: etagOf(headers),
    metadata,
  };
}

const metadataPrefix = 'x-amz-meta-';
