import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Registry } from '../registry/interface.ts';
import { wrap } from '../registry/wrappers/wrap.ts';
import type { CachedBlobs } from './blobs.ts';
import type { CachedLists } from './lists.ts';
import type { CachedManifests } from './manifests.ts';
import type { Sources } from './sources.ts';

export interface Cache {
  readonly sources: Sources;
  readonly manifests: CachedManifests;
  readonly blobs: Pick<CachedBlobs, 'stat' | 'url' | 'open'>;
  readonly lists: CachedLists;
}

/**
 * A registry some repositories of which are caches of others: what they lack is got from there when it is pulled. Nothing can be pushed
 * to them. Deletes only empty the cache.
 */
export function withCache(registry: Registry, { sources, manifests, blobs, lists }: Cache): Registry {
  const assertOwn = (name: RepositoryName) => {
    const upstream = sources.hostOf(name);
    if (upstream !== undefined)
      throw new RegistryError(
        'UNSUPPORTED',
        `${name} is a cache of ${upstream}, where it must be pushed; repositories of this registry's own have other names`,
      );
  };
  return wrap(registry, {
    blobs: (inner) => ({
      stat: async (name, digest, options = {}) => {
        const source = sources.of(name);
        return source === undefined
          ? await inner.stat(name, digest, options)
          : await blobs.stat(source, name, digest, options);
      },
      url: async (name, blob) => {
        const source = sources.of(name);
        return source === undefined ? await inner.url(name, blob) : await blobs.url(source, name, blob);
      },
      open: async (name, blob, range) =>
        sources.of(name) === undefined
          ? await inner.open(name, blob, range)
          : await blobs.open(name, blob, range),
      mount: async (name, ...rest) => {
        assertOwn(name);
        return await inner.mount(name, ...rest);
      },
      mountFromAnywhere: async (name, ...rest) => {
        assertOwn(name);
        return await inner.mountFromAnywhere(name, ...rest);
      },
    }),
    manifests: (inner) => ({
      get: async (name, reference, accept) => {
        const source = sources.of(name);
        return source === undefined
          ? await inner.get(name, reference, accept)
          : await manifests.get(source, name, reference, accept);
      },
      put: async (name, ...rest) => {
        assertOwn(name);
        return await inner.put(name, ...rest);
      },
    }),
    tags: (inner) => ({
      list: async (name, page) => {
        const source = sources.of(name);
        return source === undefined ? await inner.list(name, page) : await lists.tags(source, name, page);
      },
    }),
    referrers: (inner) => ({
      list: async (name, ...rest) => {
        const source = sources.of(name);
        return source === undefined
          ? await inner.list(name, ...rest)
          : await lists.referrers(source, name, ...rest);
      },
    }),
    uploads: (inner) => ({
      start: async (name, ...rest) => {
        assertOwn(name);
        return await inner.start(name, ...rest);
      },
      put: async (name, ...rest) => {
        assertOwn(name);
        return await inner.put(name, ...rest);
      },
      append: async (name, ...rest) => {
        assertOwn(name);
        return await inner.append(name, ...rest);
      },
      finish: async (name, ...rest) => {
        assertOwn(name);
        return await inner.finish(name, ...rest);
      },
    }),
  });
}
