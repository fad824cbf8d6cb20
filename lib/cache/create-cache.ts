import type { Collections } from '../registry/collection/collections.ts';
import type { Registry } from '../registry/interface.ts';
import type { ObjectStore } from '../storage/store.ts';
import { CachedBlobs, type CachedBlobsOptions } from './blobs.ts';
import { CachedLists } from './lists.ts';
import { CachedManifests, type CachedManifestsOptions } from './manifests.ts';
import { Platforms } from './platforms.ts';
import { Sources, type CachedPrefix } from './sources.ts';
import { TagFreshness } from './tag-freshness.ts';
import { UpstreamRequests, type UpstreamRequestsOptions } from './upstream-requests.ts';
import type { Cache } from './with-cache.ts';

export interface CacheOptions
  extends
    Pick<CachedManifestsOptions, 'observe' | 'onOutage'>,
    Pick<CachedBlobsOptions, 'claims' | 'onFailure' | 'workers'>,
    Pick<UpstreamRequestsOptions, 'isLoop'> {
  /** Unrestricted and without events: what is cached is no push. */
  readonly registry: Registry;
  readonly store: ObjectStore;
  /** Of the registry. */
  readonly collections: Collections;
  /** Makes another part for blobs than that of a server. */
  readonly blobs?: ((parts: CacheParts) => Cache['blobs']) | undefined;
}

/** What the parts of a cache have in common. */
export interface CacheParts {
  readonly requests: UpstreamRequests;
  readonly sources: Sources;
}

/** The parts of a cache, for `withCache`. */
export function createCache(prefixes: readonly CachedPrefix[], options: CacheOptions): Cache {
  const { store, collections } = options;
  const requests = new UpstreamRequests(store, options);
  const sources = new Sources(prefixes);
  return {
    sources,
    manifests: new CachedManifests({
      ...options,
      requests,
      freshness: new TagFreshness(store, collections),
      platforms: new Platforms(requests),
    }),
    lists: new CachedLists({ ...options, requests }),
    blobs: options.blobs?.({ requests, sources }) ?? new CachedBlobs({ ...options, requests, sources }),
  };
}
