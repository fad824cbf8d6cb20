import type { Readable } from 'node:stream';
import { assertConditions, unconditional } from '../protocol/conditions.ts';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { ObjectNotFound, type ByteRange, type ObjectStore } from '../storage/store.ts';
import { blobUrlLifetime } from './url-signer.ts';
import { blobData, layerLink } from './layout.ts';
import { exists, orUndefined, writeLink } from './links.ts';
import type { MountHints } from './mount-hints.ts';

export interface BlobInfo {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/**
 * The blobs of repositories. The bytes are shared by all; what makes a blob one of a repository is its link, and
 * without it a blob is unknown there, whatever the bucket holds.
 */
export class Blobs {
  readonly #store: ObjectStore;
  readonly #mountHints: MountHints;

  constructor(store: ObjectStore, mountHints: MountHints) {
    this.#store = store;
    this.#mountHints = mountHints;
  }

  /** @throws RegistryError BLOB_UNKNOWN */
  async stat(name: RepositoryName, digest: Digest): Promise<BlobInfo> {
    const [linked, data] = await Promise.all([
      exists(this.#store, layerLink(name, digest)),
      orUndefined(this.#store.head(blobData(digest))),
    ]);
    // Both, since distribution's garbage collection removes bytes and leaves links.
    if (!linked || data === undefined) throw unknown(digest);
    return { digest, size: data.size };
  }

  async has(name: RepositoryName, digest: Digest): Promise<boolean> {
    const found = await Promise.all(
      [layerLink(name, digest), blobData(digest)].map((key) => exists(this.#store, key)),
    );
    return found.every(Boolean);
  }

  /**
   * Where else the bytes can be had, or undefined when the store gives no URLs. The caller has seen that the blob is the
   * repository's.
   */
  async url({ digest }: BlobInfo): Promise<URL | undefined> {
    return await this.#store.signedUrl(blobData(digest), blobUrlLifetime);
  }

  /**
   * The bytes. The caller has seen that the blob is the repository's, and that the range lies within.
   * @throws RegistryError BLOB_UNKNOWN
   */
  async open({ digest }: BlobInfo, range?: ByteRange): Promise<Readable> {
    try {
      return (await this.#store.open(blobData(digest), range)).body;
    } catch (error) {
      throw error instanceof ObjectNotFound ? unknown(digest) : error;
    }
  }

  /** Makes a blob one of a repository's. Only for who has sent the bytes, or may read them elsewhere. */
  async link(name: RepositoryName, digest: Digest): Promise<void> {
    await writeLink(this.#store, layerLink(name, digest), digest);
  }

  /**
   * Takes a blob over from another repository (end-11).
   * @returns whether that has it
   */
  async mount(name: RepositoryName, digest: Digest, from: RepositoryName): Promise<boolean> {
    if (!(await this.has(from, digest))) return false;
    await this.link(name, digest);
    return true;
  }

  /**
   * Takes a blob over from whichever repository has it, where one is known: that its bytes are in the bucket proves nothing
   * (CVE-2024-39897).
   * @returns whether one has it
   */
  async mountFromAnywhere(name: RepositoryName, digest: Digest): Promise<boolean> {
    const [isLinked, data] = await Promise.all([
      exists(this.#store, layerLink(name, digest)),
      orUndefined(this.#store.head(blobData(digest))),
    ]);
    if (data === undefined) return false;
    if (isLinked) return true;
    const origin = this.#mountHints.read(data.metadata);
    return origin !== undefined && (await this.mount(name, digest, origin));
  }

  /** Metadata for the bytes of a blob that is pushed to a repository. */
  mountHint(name: RepositoryName): Readonly<Record<string, string>> {
    return this.#mountHints.note(name);
  }

  /**
   * Removes the blob from this repository (end-10). The bytes stay: others may have it.
   * @param conditions on the blob
   * @throws RegistryError BLOB_UNKNOWN, PRECONDITION_FAILED
   */
  async delete(name: RepositoryName, digest: Digest, conditions = unconditional): Promise<void> {
    const link = layerLink(name, digest);
    if (!(await exists(this.#store, link))) throw unknown(digest);
    assertConditions(conditions, digest);
    await this.#store.delete([link]);
  }
}

function unknown(digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', undefined, [{ digest }]);
}
