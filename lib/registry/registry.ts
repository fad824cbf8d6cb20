import type { ObjectStore } from '../storage/store.ts';
import { Blobs } from './blobs.ts';
import { Catalog } from './catalog.ts';
import { Manifests } from './manifests.ts';
import { Tags } from './tags.ts';
import { Uploads } from './uploads.ts';

/** A registry over a bucket: the domain, without HTTP and without a particular store. Its errors are RegistryError. */
export interface Registry {
  readonly blobs: Blobs;
  readonly uploads: Uploads;
  readonly manifests: Manifests;
  readonly tags: Tags;
  readonly catalog: Catalog;
}

/** Puts a registry together. Holds no state of its own: any number may work on one store. */
export function createRegistry(store: ObjectStore): Registry {
  const blobs = new Blobs(store);
  const tags = new Tags(store);
  const manifests = new Manifests(store, blobs, tags);
  return { blobs, tags, manifests, uploads: new Uploads(store, blobs), catalog: new Catalog(store) };
}
