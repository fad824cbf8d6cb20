import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { ExpiringCache } from '../registry/expiring-cache.ts';
import type { BlobInfo, Registry, StatOptions } from '../registry/interface.ts';
import type { ByteRange } from '../storage/store.ts';
import { UpstreamError, type UpstreamBlobLocation } from '../upstream/upstream.ts';
import type { BucketClaims } from './bucket-claims.ts';
import type { ObserveCache } from './cache-event.ts';
import { assertSize, isWrong } from './bytes-of-upstream.ts';
import { asRegistryError, undefinedIfUnknown } from './errors.ts';
import type { Source, Sources } from './sources.ts';
import type { UpstreamRequests } from './upstream-requests.ts';

/** Bytes of a blob that a function copies while the client waits. */
export const maxPassedBytes = 4 * 1024 * 1024;

/** Milliseconds for which a process does not look again whether a blob is being copied. */
const askedMs = 30_000;

/** Seconds after which a client asks again for a blob that is being copied. */
const retryAfterSeconds = '10';

/** A blob that a function is to copy. */
export interface WantedBlob {
  readonly repository: RepositoryName;
  readonly digest: Digest;
}

/** Asks for a copy, and does not wait for it. @param turn counts those who were asked for the same one, from 1 */
export type AskForCopy = (blob: WantedBlob, turn?: number) => Promise<void>;

export interface FunctionBlobsOptions {
  /** Unrestricted and without events: what is cached is no push. */
  readonly registry: Pick<Registry, 'blobs' | 'uploads'>;
  readonly requests: UpstreamRequests;
  readonly sources: Pick<Sources, 'isBeside'>;
  readonly claims: Pick<BucketClaims, 'ask' | 'withdraw'>;
  readonly observe: ObserveCache;
  /** Undefined without a function that copies: then the data plane does. */
  readonly ask: AskForCopy | undefined;
  /** Whether there is a data plane, which gives clients what the upstream sends itself, and copies it. */
  readonly hasDataPlane: boolean;
  /** Logs that nobody could be asked for a copy. */
  readonly onFailure: (blob: WantedBlob, error: unknown) => void;
}

/**
 * The blobs of repositories that are caches, for functions. A function carries no layers, and ends with its response. So it sends clients to
 * where the bytes are, and another function copies them meanwhile.
 */
export class FunctionBlobs {
  readonly #options: FunctionBlobsOptions;
  /** What was found in the bucket. */
  readonly #stored = new WeakSet<BlobInfo>();
  /** Where the others are; undefined for the data plane. */
  readonly #elsewhere = new WeakMap<BlobInfo, URL>();
  readonly #asked = new ExpiringCache<string, true>({ ttlMs: askedMs, maxSize: 10_000 });

  constructor(options: FunctionBlobsOptions) {
    this.#options = options;
  }

  async stat(source: Source, name: RepositoryName, digest: Digest, options: StatOptions): Promise<BlobInfo> {
    const { registry, observe } = this.#options;
    const found = await undefinedIfUnknown(registry.blobs.stat(name, digest, options));
    observe({ type: 'blob', kind: found === undefined ? 'miss' : 'hit' });
    if (found !== undefined) {
      this.#stored.add(found);
      return found;
    }
    try {
      const location = await this.#locate(source, digest);
      return options.isPulled === true
        ? await this.#pull(source, name, digest, location)
        : { digest, size: location.size };
    } catch (error) {
      throw asRegistryError(error, new RegistryError('BLOB_UNKNOWN', undefined, [{ digest }]));
    }
  }

  /** In the bucket, or at the upstream; undefined if the data plane has to give it. */
  async url(_: Source, name: RepositoryName, blob: BlobInfo): Promise<URL | undefined> {
    return this.#stored.has(blob)
      ? await this.#options.registry.blobs.url(name, blob)
      : this.#elsewhere.get(blob);
  }

  async open(name: RepositoryName, blob: BlobInfo, range?: ByteRange): Promise<Readable | Buffer> {
    return await this.#options.registry.blobs.open(name, blob, range);
  }

  async #locate(source: Source, digest: Digest): Promise<UpstreamBlobLocation> {
    const location = await this.#options.requests.ask(
      source,
      `location of ${digest}`,
      async ({ upstream, remote }) => await upstream.blobLocation(remote, digest),
    );
    assertSize(source, digest, location.size);
    return location;
  }

  async #pull(
    source: Source,
    name: RepositoryName,
    digest: Digest,
    { size, url }: UpstreamBlobLocation,
  ): Promise<BlobInfo> {
    const { ask, hasDataPlane } = this.#options;
    const blob = { digest, size };
    if (ask !== undefined && url !== undefined && size > 0) {
      await this.#ask(source, { repository: name, digest }, ask);
      this.#elsewhere.set(blob, url);
      return blob;
    }
    if (hasDataPlane && size > 0) return blob;
    if (size > maxPassedBytes) return await this.#wait(source, name, digest);
    await this.#store(source, name, blob);
    this.#stored.add(blob);
    return blob;
  }

  /** For a blob that nobody can give to the client before it is copied. */
  async #wait(source: Source, name: RepositoryName, digest: Digest): Promise<BlobInfo> {
    const { registry, sources, ask } = this.#options;
    const isSource = (other: RepositoryName) => sources.isBeside(source, name, other);
    const mounted = await registry.blobs.mountFromAnywhere(name, digest, isSource);
    if (mounted !== undefined) {
      this.#stored.add(mounted);
      return mounted;
    }
    if (ask !== undefined) await this.#ask(source, { repository: name, digest }, ask);
    throw new RegistryError(
      'BUSY',
      'the blob is being copied from the upstream of this repository; try again',
      [{ digest }],
      { headers: { 'Retry-After': retryAfterSeconds } },
    );
  }

  /** Copies a small blob, so that it is verified before the client gets any of it. */
  async #store(source: Source, name: RepositoryName, { digest, size: expected }: BlobInfo): Promise<void> {
    const { registry, requests, observe } = this.#options;
    const what = `${digest} for ${name}`;
    const { size, body } = await requests.ask(
      source,
      what,
      async ({ upstream, remote }) => await upstream.blob(remote, digest),
    );
    try {
      // Only as many bytes were permitted.
      if (size !== expected)
        throw new UpstreamError('unavailable', `${source.upstream.host} gave blob ${digest} another size`);
      await registry.uploads.put(name, digest, { body, length: size });
      observe({ type: 'blob', kind: 'pulled', bytes: size });
    } catch (error) {
      throw isWrong(error) ? wrongBytes(source, error) : error;
    } finally {
      body.destroy();
    }
  }

  /** Asks for a copy, unless somebody was asked a short while ago. */
  async #ask(source: Source, blob: WantedBlob, ask: AskForCopy): Promise<void> {
    const { claims, onFailure } = this.#options;
    const key = `${source.id} ${blob.digest} ${blob.repository}`;
    if (this.#asked.get(key) === true) return;
    this.#asked.set(key, true);
    if (!(await claims.ask(source, blob.digest))) return;
    try {
      await ask(blob);
    } catch (error) {
      onFailure(blob, error);
      await claims.withdraw(source, blob.digest);
    }
  }
}

function wrongBytes({ upstream }: Source, cause: unknown): RegistryError {
  return new RegistryError(
    'UNAVAILABLE',
    `${upstream.host} sent bytes of another digest, which are not kept; try again`,
    [],
    { cause },
  );
}
