import type { Caller } from '../../access/access.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Registry } from '../interface.ts';
import { wrap } from './wrap.ts';

/**
 * Restricts a registry to one caller: blobs are mounted only from repositories that the caller may pull, and immutable tags
 * cannot be moved or deleted. The history of a tag names the caller. `lib/http/authorization.ts` checks the permissions of the route itself.
 */
export function withAccess(registry: Registry, caller: Caller): Registry {
  const mayPull = (name: RepositoryName) => caller.decide('pull', name).outcome === 'allow';
  /** Without `immutable` where the repository has no immutable tags: asking for them costs requests. */
  const immutableIn = (name: RepositoryName) => {
    const immutable = caller.immutableTags(name);
    return immutable === undefined ? {} : { immutable };
  };
  return wrap(registry, {
    blobs: (blobs) => ({
      mount: async (name, digest, from, options) =>
        mayPull(from) ? await blobs.mount(name, digest, from, options) : undefined,
      mountFromAnywhere: async (name, digest, isSource = () => true, options = {}) =>
        await blobs.mountFromAnywhere(name, digest, (from) => isSource(from) && mayPull(from), options),
      delete: async (name, digest, options) => {
        await blobs.delete(name, digest, { ...options, ...immutableIn(name) });
      },
    }),
    manifests: (manifests) => ({
      put: async (name, reference, bytes, contentType, options) =>
        await manifests.put(name, reference, bytes, contentType, {
          ...options,
          ...immutableIn(name),
          pushedBy: caller.actor,
        }),
      delete: async (name, reference, options) => {
        await manifests.delete(name, reference, { ...options, ...immutableIn(name) });
      },
    }),
  });
}
