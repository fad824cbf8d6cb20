import type { ObjectStore } from '../storage/store.ts';
import { Blobs } from './blobs.ts';
import { Catalog } from './catalog.ts';
import { Manifests } from './manifests/manifests.ts';
import { MountHints } from './mount-hints.ts';
import type { RequiredPlatforms } from './manifests/required-platforms.ts';
import { Referrers } from './manifests/referrers.ts';
import { Tags } from './tags.ts';
import { Uploads } from './uploads/uploads.ts';

/** A registry over a bucket: the domain, without HTTP and without a particular store. Its errors are RegistryError. */
export interface Registry {
  readonly blobs: Blobs;
  readonly uploads: Uploads;
  readonly manifests: Manifests;
  readonly referrers: Referrers;
  readonly tags: Tags;
  readonly catalog: Catalog;
}

export interface RegistryOptions {
  /** With which the origins of blobs are sealed; see {@link MountHints}. */
  readonly secrets?: readonly string[];
  readonly requiredPlatforms?: RequiredPlatforms;
}

/** Puts a registry together. Holds no state of its own: any number may work on one store. */
export function createRegistry(
  store: ObjectStore,
  { secrets = [], requiredPlatforms = 'all' }: RegistryOptions = {},
): Registry {
  const blobs = new Blobs(store, new MountHints(secrets));
  const tags = new Tags(store);
  const referrers = new Referrers(store, tags);
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
