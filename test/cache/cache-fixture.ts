import { after, before } from 'node:test';
import { Pattern } from '../../lib/access/policy/patterns.ts';
import type { CacheEvent } from '../../lib/cache/cache-event.ts';
import { unshared, type CopyClaims } from '../../lib/cache/copy-claims.ts';
import { createCache } from '../../lib/cache/create-cache.ts';
import type { CachedPrefix } from '../../lib/cache/sources.ts';
import { withCache } from '../../lib/cache/with-cache.ts';
import { Collections } from '../../lib/registry/collection/collections.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { store as upstreamStore, registry as upstreamRegistry } from '../registry/manifest-steps.ts';
import { RegistryUpstream } from './registry-upstream.ts';

/** A registry whose repositories below `mirror/` are a cache of another one. */
export interface CacheFixture {
  /** A process that serves it; each call is another one. @param other prefix that is a cache beside */
  readonly start: (options?: StartOptions, other?: Partial<CachedPrefix>) => Registry;
  readonly upstream: RegistryUpstream;
  readonly store: ObjectStore;
  readonly events: CacheEvent[];
  readonly failures: unknown[];
}

export interface StartOptions extends Partial<CachedPrefix> {
  readonly allowed?: readonly string[];
  readonly claims?: CopyClaims;
  readonly on?: ObjectStore;
}

/** While a file's tests run. The images of the upstream are made by the steps of tests of manifests. */
export function cacheFixture(): () => CacheFixture {
  const folders: Folder[] = [];
  let current: CacheFixture | undefined;

  before(async () => {
    const folder = await temporaryFolder('cache');
    folders.push(folder);
    current = fixtureOn(await FilesystemStore.open(folder.path));
  });

  after(() => {
    for (const folder of folders) folder.remove();
  });

  return () => {
    if (current === undefined) throw new Error('the fixture is there while tests run');
    return current;
  };
}

/** The registry of the steps of tests of manifests, as an upstream. */
export function upstreamOfSteps(): RegistryUpstream {
  return new RegistryUpstream({
    get manifests() {
      return upstreamRegistry(upstreamStore).manifests;
    },
    get blobs() {
      return upstreamRegistry(upstreamStore).blobs;
    },
    get tags() {
      return upstreamRegistry(upstreamStore).tags;
    },
    get referrers() {
      return upstreamRegistry(upstreamStore).referrers;
    },
  });
}

export function fixtureOn(store: ObjectStore): CacheFixture {
  const upstream = upstreamOfSteps();
  const events: CacheEvent[] = [];
  const failures: unknown[] = [];
  return {
    upstream,
    store,
    events,
    failures,
    start: ({ allowed = [], claims = unshared, on = store, ...more } = {}, other) => {
      const collections = new Collections(on);
      const registry = createRegistry(on, { collections });
      const prefix: CachedPrefix = {
        prefix: 'mirror/',
        stripPrefix: true,
        upstream,
        account: '0123456789abcdef',
        id: '0123456789abcdef',
        repositories: allowed.map((text) => new Pattern(text)),
        platforms: [],
        freshnessMs: 600_000,
        ...more,
      };
      const prefixes = other === undefined ? [prefix] : [prefix, { ...prefix, ...other }];
      const cache = createCache(prefixes, {
        ...{ registry, store: on, collections, claims, workers: 1 },
        observe: (event) => events.push(event),
        onOutage: (_, error) => failures.push(error),
        onFailure: (_, error) => failures.push(error),
      });
      return withCache(registry, cache);
    },
  };
}
