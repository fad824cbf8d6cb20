import { BucketClaims } from '../../lib/cache/bucket-claims.ts';
import { copyBlob, type CopyBlobOptions, type CopyResult } from '../../lib/cache/copy-blob.ts';
import { FunctionBlobs, type FunctionBlobsOptions, type WantedBlob } from '../../lib/cache/function-blobs.ts';
import { Sources, type CachedPrefix } from '../../lib/cache/sources.ts';
import { UpstreamRequests } from '../../lib/cache/upstream-requests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { BlobInfo } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { storeTimeMs } from '../../lib/storage/store-time.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import type { Upstream } from '../../lib/upstream/upstream.ts';

/** A repository of the cache. */
export const mirrored = (name: RepositoryName) => parseRepositoryName(`mirror/${name}`);

/** One instance of a function of a registry whose repositories below `mirror/` are a cache. Each is another process. */
export class FunctionInstance {
  /** Copies that were asked for. */
  readonly asked: WantedBlob[] = [];
  readonly failures: unknown[] = [];
  readonly #parts: CopyBlobOptions & { readonly sources: Sources; readonly claims: BucketClaims };
  readonly #blobs: FunctionBlobs;

  /** @param laterMs how far its clock is ahead */
  constructor(
    store: ObjectStore,
    upstream: Upstream,
    {
      laterMs = 0,
      savedBytes,
      ...more
    }: Partial<FunctionBlobsOptions> & { readonly laterMs?: number; readonly savedBytes?: number } = {},
  ) {
    const prefix: CachedPrefix = {
      prefix: 'mirror/',
      stripPrefix: true,
      upstream,
      account: '0123456789abcdef',
      id: '0123456789abcdef',
      repositories: [],
      platforms: [],
      freshnessMs: 600_000,
    };
    this.#parts = {
      registry: createRegistry(store, { secrets: ['the secret of a test'] }),
      requests: new UpstreamRequests(store, { onOutage: () => undefined, workers: 1 }),
      sources: new Sources([prefix]),
      claims: new BucketClaims(store, () => storeTimeMs(store) + laterMs),
      ...(savedBytes !== undefined && { savedBytes }),
    };
    this.#blobs = new FunctionBlobs({
      ...this.#parts,
      observe: () => undefined,
      ask: async (blob) => {
        this.asked.push(blob);
        await Promise.resolve();
      },
      hasDataPlane: false,
      onFailure: (_, error) => this.failures.push(error),
      ...more,
    });
  }

  get registry() {
    return this.#parts.registry;
  }

  /** As a client pulls it, up to where it is sent. */
  async pull(name: RepositoryName, digest: Digest): Promise<{ blob: BlobInfo; url: URL | undefined }> {
    const blob = await this.stat(name, digest, true);
    return { blob, url: await this.#blobs.url(this.#source(name), name, blob) };
  }

  async stat(name: RepositoryName, digest: Digest, isPulled: boolean): Promise<BlobInfo> {
    return await this.#blobs.stat(this.#source(name), name, digest, { isPulled });
  }

  /** The function `copy`. */
  async copy(name: RepositoryName, digest: Digest, isOver?: () => boolean): Promise<CopyResult> {
    return await copyBlob(this.#source(name), { repository: name, digest }, this.#parts, isOver);
  }

  #source(name: RepositoryName) {
    const source = this.#parts.sources.of(name);
    if (source === undefined) throw new Error(`${name} is no cache`);
    return source;
  }
}
