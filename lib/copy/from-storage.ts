import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';
import { Collections } from '../registry/collection/collections.ts';
import type { Registry } from '../registry/interface.ts';
import type { ObjectStore } from '../storage/store.ts';
import type { CopySource } from './source.ts';

const pageSize = 1000;

/** Mounts of one blob: each time, another garbage collection had begun. */
const maxMounts = 3;

/** A repository of one's own storage. Its blobs are linked, and not copied. */
export function fromStorage(store: ObjectStore, registry: Registry, name: RepositoryName): CopySource {
  const collections = new Collections(store);
  return {
    title: name,
    resolve: async (reference) => (await registry.manifests.get(name, reference)).info.digest,
    manifest: async (digest) => (await registry.manifests.get(name, { kind: 'digest', digest })).bytes,
    tags: () => tagsOf(registry, name),
    referrers: async (subject) => await referrersOf(registry, name, subject),
    give: async (target, digest) => {
      for (let attempt = 0; attempt < maxMounts; attempt++) {
        const mounted = await target.registry.blobs.mount(target.name, digest, name);
        if (mounted !== undefined) return 0;
        if (!(await registry.blobs.has(name, digest))) break;
        // A garbage collection lists it: a client would be told to upload it. What is rescued stays, and can be mounted.
        await collections.commit(async (view) => {
          for (const one of [name, target.name]) await collections.rescue(view, one, [[digest]]);
        });
      }
      throw new RegistryError('BLOB_UNKNOWN', `blob ${digest} is gone from repository ${name}`);
    },
  };
}

async function* tagsOf({ tags }: Registry, name: RepositoryName): AsyncGenerator<Tag, void> {
  for (let last = '', more = true; more;) {
    const page = await tags.list(name, { n: pageSize, last });
    for (const tag of page.names) yield tag as Tag;
    last = page.names.at(-1) ?? '';
    more = page.more && page.names.length > 0;
  }
}

async function referrersOf(
  { referrers }: Registry,
  name: RepositoryName,
  subject: Digest,
): Promise<readonly Digest[]> {
  const found: Digest[] = [];
  let last: Digest | undefined;
  do {
    const page = await referrers.list(name, subject, { n: pageSize, last }, undefined);
    found.push(...page.descriptors.map(({ digest }) => digest));
    last = page.next;
  } while (last !== undefined);
  return found;
}
