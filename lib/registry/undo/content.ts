import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { parseManifest, storedMediaType, type Child, type Manifest } from '../../protocol/manifests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { blobData, layerLink, revisionLink } from '../layout.ts';
import { exists } from '../links.ts';
import { loadManifest } from '../manifests/cache.ts';
import { isRequired, type RequiredPlatforms } from '../manifests/required-platforms.ts';

/** Concurrent looks at what a manifest names. */
const parallelLooks = 32;

/** Concurrent reads of an index's manifests, of at most 4 MiB each. */
const parallelReads = 8;

/** Something that an image consists of: a manifest, or a blob. */
export interface Part {
  readonly kind: 'manifest' | 'blob';
  readonly digest: Digest;
  /** Whether the repository has it. */
  readonly isLinked: boolean;
  /** Whether its bytes are in the bucket. Those of manifests have the right digest. */
  readonly hasBytes: boolean;
  /** Whether a push would be refused without it. */
  readonly isRequired: boolean;
}

/** The key of the link by which a repository has a part. */
export function linkOfPart(name: RepositoryName, { kind, digest }: Pick<Part, 'kind' | 'digest'>): string {
  return kind === 'manifest' ? revisionLink(name, digest) : layerLink(name, digest);
}

/**
 * Everything that a manifest consists of, itself first: the manifests of an index, and their blobs. Of a manifest that this
 * registry would not accept, such as schema 1, only the manifest.
 * @throws RegistryError UNKNOWN if the bytes of one are damaged
 */
export async function partsOf(
  store: ObjectStore,
  name: RepositoryName,
  digest: Digest,
  required: RequiredPlatforms = 'all',
): Promise<readonly Part[]> {
  return await new Walk(store, name, required).run(digest);
}

class Walk {
  readonly #store: ObjectStore;
  readonly #name: RepositoryName;
  readonly #required: RequiredPlatforms;
  readonly #parts = new Map<string, Part>();

  constructor(store: ObjectStore, name: RepositoryName, required: RequiredPlatforms) {
    this.#store = store;
    this.#name = name;
    this.#required = required;
  }

  async run(digest: Digest): Promise<readonly Part[]> {
    let level = [{ digest, isRequired: true }];
    while (level.length > 0) {
      const below = await inParallel(level, parallelReads, async (one) => await this.#manifest(one));
      const unseen = below.flat().filter((one) => !this.#parts.has(`manifest ${one.digest}`));
      level = [...new Map(unseen.map((one) => [one.digest, one])).values()];
    }
    return [...this.#parts.values()];
  }

  /** @returns the manifests that it names */
  async #manifest({ digest, isRequired }: Pick<Part, 'digest' | 'isRequired'>) {
    const [isLinked, bytes] = await Promise.all([
      exists(this.#store, revisionLink(this.#name, digest)),
      loadManifest(this.#store, digest),
    ]);
    this.#add({ kind: 'manifest', digest, isLinked, hasBytes: bytes !== undefined, isRequired });
    const { blobs, manifests } = bytes === undefined ? nothing : read(bytes);
    const children = await inParallel(manifests, parallelLooks, async (child) => await this.#child(child));
    const unseen = blobs.filter((blob) => !this.#parts.has(`blob ${blob}`));
    await inParallel(unseen, parallelLooks, async (blob) => {
      await this.#blob(blob, isRequired);
    });
    return children.flat();
  }

  /** @returns it, if it is a manifest. An entry of another type is usually a blob, but may be a manifest of an unknown type. */
  async #child(child: Child): Promise<Pick<Part, 'digest' | 'isRequired'>[]> {
    const one = { digest: child.digest, isRequired: isRequired(child, this.#required) };
    if (child.isManifest) return [one];
    const [asBlob, asManifest] = await Promise.all([
      exists(this.#store, layerLink(this.#name, child.digest)),
      exists(this.#store, revisionLink(this.#name, child.digest)),
    ]);
    if (asManifest && !asBlob) return [one];
    await this.#blob(one.digest, one.isRequired);
    return [];
  }

  async #blob(digest: Digest, isRequired: boolean): Promise<void> {
    const [isLinked, hasBytes] = await Promise.all([
      exists(this.#store, layerLink(this.#name, digest)),
      exists(this.#store, blobData(digest)),
    ]);
    this.#add({ kind: 'blob', digest, isLinked, hasBytes, isRequired });
  }

  #add(part: Part): void {
    this.#parts.set(`${part.kind} ${part.digest}`, part);
  }
}

const nothing: Pick<Manifest, 'blobs' | 'manifests'> = { blobs: [], manifests: [] };

function read(bytes: Uint8Array): Pick<Manifest, 'blobs' | 'manifests'> {
  try {
    return parseManifest(bytes, storedMediaType(bytes));
  } catch (error) {
    if (error instanceof RegistryError) return nothing;
    throw error;
  }
}
