import { createHash } from 'node:crypto';
import { sha256Digest, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import { damaged, maxManifestSize, parseManifest, type Manifest } from '../protocol/manifests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Reference } from '../protocol/references.ts';
import type { ObjectHead, ObjectStore } from '../storage/store.ts';
import type { Blobs } from './blobs.ts';
import { blobData, revisionLink } from './layout.ts';
import { exists, orUndefined, writeLink } from './links.ts';
import { ManifestCache, StoredManifest } from './manifest-cache.ts';
import type { Tags } from './tags.ts';
import type { Tag } from '../protocol/tags.ts';

export interface ManifestInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

/** Distribution took larger manifests than we do; they are still served. */
const maxStoredSize = 4 * maxManifestSize;

/** Existence checks under way at once for one manifest. */
const parallelChecks = 32;

/** The manifests of repositories, by tag and digest. */
export class Manifests {
  readonly #store: ObjectStore;
  readonly #blobs: Blobs;
  readonly #tags: Tags;
  readonly #cache = new ManifestCache();
  readonly #reads = new Map<Digest, Promise<StoredManifest | undefined>>();

  constructor(store: ObjectStore, blobs: Blobs, tags: Tags) {
    this.#store = store;
    this.#blobs = blobs;
    this.#tags = tags;
  }

  /**
   * What a HEAD tells (end-3). A tag that we have written says it itself, so that the manifest need not be read.
   * @throws RegistryError MANIFEST_UNKNOWN
   */
  async stat(name: RepositoryName, reference: Reference): Promise<ManifestInfo> {
    const { digest, metadata } = await this.#resolve(name, reference);
    const info = infoIn(digest, metadata);
    if (info === undefined) return (await this.#read(name, digest)).info;
    if (!(await this.has(name, digest))) throw unknown(reference);
    return info;
  }

  /**
   * The bytes as they were pushed (end-3).
   * @throws RegistryError MANIFEST_UNKNOWN
   */
  async get(name: RepositoryName, reference: Reference): Promise<{ info: ManifestInfo; bytes: Buffer }> {
    const { digest } = await this.#resolve(name, reference);
    return await this.#read(name, digest);
  }

  /**
   * Stores a manifest and moves the tag to it, if it was pushed by one (end-7).
   * @param contentType as sent, if any
   * @throws RegistryError MANIFEST_INVALID, MANIFEST_TOO_LARGE, DIGEST_INVALID, and MANIFEST_BLOB_UNKNOWN with an entry
   *   for each digest that is not in the repository
   */
  async put(
    name: RepositoryName,
    reference: Reference,
    bytes: Uint8Array,
    contentType: string | undefined,
  ): Promise<{ info: ManifestInfo; manifest: Manifest }> {
    const manifest = parseManifest(bytes, contentType);
    const digest = digestOf(bytes);
    if (reference.kind === 'digest' && reference.digest !== digest)
      throw new RegistryError('DIGEST_INVALID', `the manifest has the digest ${digest}`, [reference]);
    await this.#assertComplete(name, manifest);
    const info = { digest, mediaType: manifest.mediaType, size: bytes.byteLength };
    await Promise.all([
      this.#store.put(blobData(digest), bytes),
      writeLink(this.#store, revisionLink(name, digest), digest),
      reference.kind === 'tag' ? this.#tags.record(name, reference.tag, digest) : undefined,
    ]);
    if (reference.kind === 'tag') await this.#point(name, reference.tag, info);
    return { info, manifest };
  }

  /**
   * Removes a tag, or a manifest with all tags that point at it (end-9).
   * @throws RegistryError MANIFEST_UNKNOWN
   */
  async delete(name: RepositoryName, reference: Reference): Promise<void> {
    if (reference.kind === 'tag') {
      const tag = await this.#tags.find(name, reference.tag);
      if (tag === undefined) throw unknown(reference);
      await this.#tags.delete([tag]);
      return;
    }
    const [known, pointing] = await Promise.all([
      this.has(name, reference.digest),
      this.#tags.pointingAt(name, reference.digest),
    ]);
    if (!known) throw unknown(reference);
    // The tags go first: one that points nowhere would outlive an interruption.
    await this.#tags.delete(pointing, [revisionLink(name, reference.digest)]);
    // And again, for a tag that a push has moved there meanwhile.
    await this.#tags.delete(await this.#tags.pointingAt(name, reference.digest));
  }

  /** Whether a repository has the manifest. */
  async has(name: RepositoryName, digest: Digest): Promise<boolean> {
    return await exists(this.#store, revisionLink(name, digest));
  }

  /**
   * Moves a tag, last of all, so that it never points at what is not there. A delete of the same manifest may have come
   * between: the one of the two that is second to look sees what the other did, here or in {@link delete}.
   */
  async #point(name: RepositoryName, tag: Tag, info: ManifestInfo): Promise<void> {
    await this.#tags.point(name, tag, info.digest, metadataOf(info));
    if (await this.has(name, info.digest)) return;
    await writeLink(this.#store, revisionLink(name, info.digest), info.digest);
  }

  async #resolve(
    name: RepositoryName,
    reference: Reference,
  ): Promise<{ digest: Digest; metadata: ObjectHead['metadata'] }> {
    if (reference.kind === 'digest') return { digest: reference.digest, metadata: {} };
    const link = await this.#tags.resolve(name, reference.tag);
    if (link === undefined) throw unknown(reference);
    return link;
  }

  async #read(name: RepositoryName, digest: Digest): Promise<{ info: ManifestInfo; bytes: Buffer }> {
    const [linked, stored] = await Promise.all([this.has(name, digest), this.#stored(digest)]);
    if (!linked || stored === undefined) throw unknown({ kind: 'digest', digest });
    const { bytes, mediaType } = stored;
    return { info: { digest, mediaType, size: bytes.byteLength }, bytes };
  }

  /** Many requests for one manifest at once read it once: each could have megabytes. */
  async #stored(digest: Digest): Promise<StoredManifest | undefined> {
    const cached = this.#cache.get(digest);
    if (cached !== undefined) return cached;
    const underWay = this.#reads.get(digest) ?? this.#load(digest);
    this.#reads.set(digest, underWay);
    try {
      return await underWay;
    } finally {
      this.#reads.delete(digest);
    }
  }

  async #load(digest: Digest): Promise<StoredManifest | undefined> {
    const data = await orUndefined(this.#store.read(blobData(digest), maxStoredSize));
    if (data === undefined) return undefined;
    // A hash of some kilobytes: what was altered in the bucket is not passed on under a digest it does not have.
    if (digestOf(data.bytes) !== digest) throw damaged();
    const stored = new StoredManifest(data.bytes);
    this.#cache.set(digest, stored);
    return stored;
  }

  async #assertComplete(name: RepositoryName, { blobs, manifests }: Manifest): Promise<void> {
    const missing = [
      ...(await without(blobs, async (digest) => await this.#blobs.has(name, digest))),
      ...(await without(manifests, async (digest) => await this.has(name, digest))),
    ];
    if (missing.length > 0)
      throw new RegistryError(
        'MANIFEST_BLOB_UNKNOWN',
        undefined,
        missing.map((digest) => ({ digest })),
      );
  }
}

/** Those of the digests for which a check says no, in order. */
async function without(
  digests: readonly Digest[],
  has: (digest: Digest) => Promise<boolean>,
): Promise<Digest[]> {
  const found: boolean[] = [];
  for (let i = 0; i < digests.length; i += parallelChecks)
    found.push(...(await Promise.all(digests.slice(i, i + parallelChecks).map(has))));
  return digests.filter((_, i) => found[i] !== true);
}

function digestOf(bytes: Uint8Array): Digest {
  return sha256Digest(createHash('sha256').update(bytes).digest('hex'));
}

function metadataOf({ mediaType, size }: ManifestInfo): Record<string, string> {
  return { 'manifest-type': mediaType, 'manifest-size': String(size) };
}

function infoIn(digest: Digest, metadata: ObjectHead['metadata']): ManifestInfo | undefined {
  const { 'manifest-type': mediaType, 'manifest-size': size } = metadata;
  return mediaType === undefined || size === undefined
    ? undefined
    : { digest, mediaType, size: Number(size) };
}

function unknown(reference: Reference): RegistryError {
  const detail = reference.kind === 'tag' ? { tag: reference.tag } : { digest: reference.digest };
  return new RegistryError('MANIFEST_UNKNOWN', undefined, [detail]);
}
