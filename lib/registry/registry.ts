import { share } from '../concurrency/share.ts';
import type { ObjectStore } from '../storage/store.ts';
import { Blobs } from './blobs.ts';
import { Catalog } from './catalog.ts';
import { Collections } from './collection/collections.ts';
import { ImmutableImages } from './immutable-images.ts';
import type { Registry } from './interface.ts';
import { Manifests, type ManifestsOptions } from './manifests/manifests.ts';
import { MountHints } from './mount-hints.ts';
import { Referrers } from './manifests/referrers.ts';
import { Tags } from './tags.ts';
import { BufferPool, uploadBytes } from './uploads/buffer-pool.ts';
import { Uploads } from './uploads/uploads.ts';

export interface RegistryOptions extends Partial<ManifestsOptions> {
  /** Encrypt mount hints; see {@link MountHints}. */
  readonly secrets?: readonly string[];
  /** Queries store nothing either, such as referrers they discover, and nobody asks for garbage collections. */
  readonly readOnly?: boolean;
  /** Processes that share the memory for uploads and cached manifests. */
  readonly workers?: number | undefined;
}

/** Creates a registry. It keeps no state outside the store, so any number of registries can share one. */
export function createRegistry(
  store: ObjectStore,
  {
    secrets = [],
    requiredPlatforms = 'all',
    readOnly = false,
    collections = new Collections(store, { readOnly }),
    onCacheRead,
    workers = 1,
  }: RegistryOptions = {},
): Registry {
  const tags = new Tags(store);
  const blobs = new Blobs(store, new MountHints(secrets), new ImmutableImages(store, tags), collections);
  const referrers = new Referrers(store, tags, { readOnly });
  const manifests = new Manifests(store, blobs, tags, referrers, {
    collections,
    requiredPlatforms,
    onCacheRead,
    workers,
  });
  return {
    blobs,
    tags,
    manifests,
    referrers,
    uploads: new Uploads(store, blobs, new BufferPool({ bytes: share(uploadBytes, workers) })),
    catalog: new Catalog(store),
  };
}
