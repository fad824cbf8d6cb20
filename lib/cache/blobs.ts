import type { Readable } from 'node:stream';
import { withTimeout } from '../concurrency/with-timeout.ts';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { BlobInfo, Registry, StatOptions } from '../registry/interface.ts';
import { withoutDeadline } from '../storage/deadline.ts';
import type { ByteRange } from '../storage/store.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import type { ObserveCache } from './cache-event.ts';
import { assertSize } from './bytes-of-upstream.ts';
import type { CopyClaims } from './copy-claims.ts';
import { CopyPlaces } from './copy-places.ts';
import { Download, type Progress } from './download.ts';
import { asRegistryError, isOutage, undefinedIfUnknown } from './errors.ts';
import { keepingRate } from './minimum-rate.ts';
import type { Source, Sources } from './sources.ts';
import type { UpstreamRequests } from './upstream-requests.ts';

/** Memory for the readers of all copies, and the least for those of one. */
const windowBytes = 32 * 1024 * 1024;
const leastWindowBytes = 1024 * 1024;

/** Milliseconds that a pull waits for the end of a copy before its response begins, so that it can be redirected to the bucket. */
const redirectWaitMs = 20_000;

export interface CachedBlobsOptions {
  /** Unrestricted and without events: what is cached is no push. */
  readonly registry: Pick<Registry, 'blobs' | 'uploads'>;
  readonly requests: UpstreamRequests;
  readonly sources: Pick<Sources, 'isBeside'>;
  readonly claims: CopyClaims;
  readonly observe: ObserveCache;
  readonly onOutage: (source: Source, error: UpstreamError) => void;
  /** Logs why a blob could not be copied, unless the upstream is the reason. */
  readonly onFailure: (
    blob: { readonly repository: string; readonly digest: string },
    error: unknown,
  ) => void;
  /** Processes that share the memory. */
  readonly workers: number;
}

/** The blobs of repositories that are caches. */
export class CachedBlobs {
  readonly #options: CachedBlobsOptions;
  /** Running, by repository and digest. */
  readonly #downloads = new Map<string, Download>();
  /** What was found in the bucket. */
  readonly #stored = new WeakSet<BlobInfo>();
  readonly #places = new CopyPlaces();

  constructor(options: CachedBlobsOptions) {
    this.#options = options;
  }

  async stat(source: Source, name: RepositoryName, digest: Digest, options: StatOptions): Promise<BlobInfo> {
    const { registry, observe } = this.#options;
    const isRunning = this.#downloads.has(keyOf(name, digest));
    const found = isRunning
      ? undefined
      : await undefinedIfUnknown(registry.blobs.stat(name, digest, options));
    observe({ type: 'blob', kind: found === undefined ? 'miss' : 'hit' });
    if (found !== undefined) {
      this.#stored.add(found);
      return found;
    }
    try {
      const look = async () => await this.#size(source, name, digest, options);
      return { digest, size: await this.#options.requests.wait(source, look) };
    } catch (error) {
      throw asRegistryError(error, new RegistryError('BLOB_UNKNOWN', undefined, [{ digest }]));
    }
  }

  /** A URL for the bytes once they are in the bucket. While they come, whoever can follow gets them as they do. */
  async url(source: Source, name: RepositoryName, blob: BlobInfo): Promise<URL | undefined> {
    const running = this.#downloads.get(keyOf(name, blob.digest));
    if (running?.hasBeginning === true) return undefined;
    if (running !== undefined && !(await this.#endsSoon(source, running))) return undefined;
    return (await this.#isStored(name, blob))
      ? await this.#options.registry.blobs.url(name, blob)
      : undefined;
  }

  async open(name: RepositoryName, blob: BlobInfo, range?: ByteRange): Promise<Readable | Buffer> {
    const { registry, observe } = this.#options;
    const { start, end = blob.size - 1 } = range ?? { start: 0 };
    const running = this.#downloads.get(keyOf(name, blob.digest));
    const open = async () =>
      (await this.#isStored(name, blob))
        ? await undefinedIfUnknown(registry.blobs.open(name, blob, range))
        : undefined;
    const body = running?.read(blob.size, range) ?? (await open());
    // A copy that was under way has failed.
    if (body === undefined)
      throw new RegistryError(
        'UNAVAILABLE',
        'the upstream of this repository did not give the blob; try again',
      );
    observe({ type: 'blob', kind: 'pushed', bytes: end + 1 - start });
    return body;
  }

  /**
   * Whether the repository has a blob. What was found while it was copied need not be there: the copy may have failed, and the bytes of
   * its digest may be another repository's.
   */
  async #isStored(name: RepositoryName, blob: BlobInfo): Promise<boolean> {
    if (this.#stored.has(blob)) return true;
    return (await undefinedIfUnknown(this.#options.registry.blobs.stat(name, blob.digest))) !== undefined;
  }

  /** Bytes of a blob that is not in the bucket. If it is pulled, it is copied there. @throws UpstreamError */
  async #size(
    source: Source,
    name: RepositoryName,
    digest: Digest,
    { isPulled = false }: StatOptions,
  ): Promise<number> {
    const running = this.#downloads.get(keyOf(name, digest));
    const download = running ?? (isPulled ? this.#download(source, name, digest) : undefined);
    if (download !== undefined) return await download.waitFor(download.size);
    return await this.#options.requests.ask(source, `size ${digest}`, async ({ upstream, remote }) => {
      const { size, body } = await upstream.blob(remote, digest);
      body.destroy();
      assertSize(source, digest, size);
      return size;
    });
  }

  #download(source: Source, name: RepositoryName, digest: Digest): Download {
    const { registry, onOutage, onFailure } = this.#options;
    const key = keyOf(name, digest);
    const download: Download = new Download({
      copy: async (progress) => {
        await withoutDeadline(async () => {
          await this.#places.run(
            source.account,
            () => download.isRead,
            async (signal) => {
              await this.#copyOnce(source, name, digest, progress, signal);
            },
          );
        });
      },
      reopen: async (size, range) => await registry.blobs.open(name, { digest, size }, range),
      windowBytes: () => this.#windowBytes(),
    });
    this.#downloads.set(key, download);
    void download.done
      .catch((error: unknown) => {
        if (isOutage(error)) onOutage(source, error);
        else if (!isTold(error)) onFailure({ repository: name, digest }, error);
      })
      .finally(() => this.#downloads.delete(key));
    return download;
  }

  /** Copies a blob, unless another process of this machine does, or has. */
  async #copyOnce(
    source: Source,
    name: RepositoryName,
    digest: Digest,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void> {
    const { registry, claims } = this.#options;
    const claim = await claims.take(keyOf(name, digest), progress.opened);
    try {
      signal.throwIfAborted();
      const found = claim.hasWaited ? await undefinedIfUnknown(registry.blobs.stat(name, digest)) : undefined;
      if (found !== undefined) {
        progress.opened(found.size);
        return;
      }
      const opened = (size: number) => {
        progress.opened(size);
        claim.opened(size);
      };
      await this.#copy(
        source,
        name,
        digest,
        { opened, received: (bytes) => progress.received(bytes) },
        signal,
      );
    } finally {
      claim.end();
    }
  }

  async #copy(
    source: Source,
    name: RepositoryName,
    digest: Digest,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void> {
    const { registry, requests, sources, observe } = this.#options;
    // Of this repository alone: nobody else can read the body.
    const { size, body } = await requests.ask(
      source,
      `${digest} for ${name}`,
      async ({ upstream, remote }) => await upstream.blob(remote, digest),
    );
    const abandon = () => body.destroy(signal.reason as Error);
    signal.addEventListener('abort', abandon);
    async function* received(): AsyncGenerator<Uint8Array, void> {
      for await (const bytes of keepingRate(body as AsyncIterable<Buffer>, source.upstream.host)) {
        observe({ type: 'blob', kind: 'pulled', bytes: bytes.byteLength });
        progress.received(bytes);
        yield bytes;
      }
    }
    try {
      signal.throwIfAborted();
      assertSize(source, digest, size);
      progress.opened(size);
      const isSource = (other: RepositoryName) => sources.isBeside(source, name, other);
      const mounted = await registry.blobs.mountFromAnywhere(name, digest, isSource);
      if (mounted === undefined) await registry.uploads.put(name, digest, { body: received(), length: size });
    } finally {
      signal.removeEventListener('abort', abandon);
      body.destroy();
    }
  }

  /** Whether a copy is complete after a while, for which its client waits. @throws RegistryError BUSY */
  async #endsSoon(source: Source, download: Download): Promise<boolean> {
    try {
      return await this.#options.requests.wait(
        source,
        async () => await download.waitFor(endsSoon(download)),
      );
    } catch (error) {
      // Too many wait already.
      if (isOutage(error)) return false;
      throw error;
    }
  }

  /** For each copy that runs. */
  #windowBytes(): number {
    const all = windowBytes / this.#options.workers;
    return Math.max(leastWindowBytes, Math.floor(all / Math.max(1, this.#downloads.size)));
  }
}

/** Whether the response to the client says all that there is to say. */
function isTold(error: unknown): boolean {
  if (error instanceof UpstreamError) return error.kind === 'unknown';
  return error instanceof RegistryError && error.failure === 'BUSY';
}

function keyOf(name: RepositoryName, digest: Digest): string {
  return `${name}@${digest}`;
}

async function endsSoon({ done }: Download): Promise<boolean> {
  const stored = done.then(
    () => true,
    () => false,
  );
  return await withTimeout(stored, redirectWaitMs, () => new Error()).catch(() => false);
}
