import { inParallel } from '../concurrency/in-parallel.ts';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import { parseManifest, storedMediaType, type Manifest } from '../protocol/manifests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { ObjectStore } from '../storage/store.ts';
import { TagImmutable, type Immutable } from './interface.ts';
import { loadManifest } from './manifests/cache.ts';
import type { PointingTag, Tags } from './tags.ts';

/** Concurrent reads of manifests. */
const parallelReads = 16;

/** What immutable tags consist of: the blobs of their images, and the manifests of their indexes. */
export class ImmutableImages {
  readonly #store: ObjectStore;
  readonly #tags: Tags;

  constructor(store: ObjectStore, tags: Tags) {
    this.#store = store;
    this.#tags = tags;
  }

  /**
   * Reads the manifests of all immutable tags of the repository: deletes by digest are rare.
   * @throws TagImmutable if one of them needs a blob or manifest
   */
  async assertUnneeded(name: RepositoryName, digest: Digest, immutable: Immutable): Promise<void> {
    const seen = new Set<Digest>();
    let level = await this.#tags.immutable(name, immutable);
    while (level.length > 0) {
      const unseen = level.filter((manifest) => !seen.has(manifest.digest));
      for (const manifest of unseen) seen.add(manifest.digest);
      const check = async (manifest: PointingTag) => await this.#childrenOf(manifest, digest, immutable);
      level = (await inParallel(unseen, parallelReads, check)).flat();
    }
  }

  /** @returns the manifests of an index @throws TagImmutable if it needs the digest */
  async #childrenOf(
    { tag, digest }: PointingTag,
    deleted: Digest,
    immutable: Immutable,
  ): Promise<PointingTag[]> {
    const { blobs = [], manifests = [] } = (await this.#read(digest)) ?? {};
    if ([...blobs, ...manifests.map((child) => child.digest)].includes(deleted))
      throw new TagImmutable(tag, immutable(tag) ?? '', `it needs ${deleted}`);
    return manifests.filter((child) => child.isManifest).map((child) => ({ tag, digest: child.digest }));
  }

  /** @returns undefined for a manifest that is gone, or that this registry would not accept (schema 1) */
  async #read(digest: Digest): Promise<Manifest | undefined> {
    try {
      const bytes = await loadManifest(this.#store, digest);
      return bytes && parseManifest(bytes, storedMediaType(bytes));
    } catch (error) {
      if (error instanceof RegistryError) return undefined;
      throw error;
    }
  }
}
