import type { ObjectStore } from '../storage/store.ts';
import { Blobs } from './blobs.ts';
import { Catalog } from './catalog.ts';
import type { Registry } from './interface.ts';
import { Manifests } from './manifests/manifests.ts';
import { MountHints } from './mount-hints.ts';
import type { RequiredPlatforms } from './manifests/required-platforms.ts';
import { Referrers } from './manifests/referrers.ts';
import { Tags } from './tags.ts';
import { Uploads } from './uploads/uploads.ts';

export interface RegistryOptions {
  /** With which the origins of blobs are sealed; see {@link MountHints}. */
  readonly secrets?: readonly string[];
  readonly requiredPlatforms?: RequiredPlatforms;
  /** Whether nothing is stored, not even what a query finds out for the next one. */
  readonly readOnly?: boolean;
}

/** Puts a registry together. Holds no state of its own: any number may work on one store. */
export function createRegistry(
  store: ObjectStore,
  { secrets = [], requiredPlatforms = 'all', readOnly = false }: RegistryOptions = {},
): Registry {
  const blobs = new Blobs(store, new MountHints(secrets));
  const tags = new Tags(store);
  const referrers = new Referrers(store, tags, { readOnly });
  const manifests = new Manifests(store, { blobs, tags, referrers, requiredPlatforms });
  return {
    blobs,
    tags,
    manifests,
    referrers,
    uploads: new Uploads(store, blobs),
    catalog: new Catalog(store),
  };
}
