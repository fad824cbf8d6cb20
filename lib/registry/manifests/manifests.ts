import {
  assertConditions,
  isConditional,
  unconditional,
  type Conditions,
} from '../../protocol/conditions.ts';
import { canonicalAlgorithm, digestParts, type Algorithm, type Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { signedManifestType } from '../../protocol/schema1.ts';
import { parseManifest, unsignedManifestType, type Child, type Manifest } from '../../protocol/manifests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { anything, type Accept } from '../../protocol/negotiation.ts';
import type { Reference } from '../../protocol/references.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { Blobs } from '../blobs.ts';
import { digestOf } from '../uploads/content-hash.ts';
import { blobData, revisionLink } from '../layout.ts';
import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { ImmutableImages } from '../immutable-images.ts';
import { assertDeletable, ImmutableTags } from '../immutable-tags.ts';
import {
  TagImmutable,
  type DeleteOptions,
  type FoundManifest,
  type Immutable,
  type PushedManifest,
  type PushOptions,
  type RegistryDeleter,
  type RegistryReader,
  type RegistryWriter,
} from '../interface.ts';
import { exists, writeLink } from '../links.ts';
import { loadManifest, ManifestCache, StoredManifest } from './cache.ts';
import type { Referrers } from './referrers.ts';
import { isRequired, type RequiredPlatforms } from './required-platforms.ts';
import { readSigned } from './schema1-signatures.ts';
import { SingleFlight } from '../../concurrency/single-flight.ts';
import type { Tags } from '../tags.ts';
import type { Tag } from '../../protocol/tags.ts';

interface PushedTag {
  readonly tag: Tag;
  /** That keeps the tag where it is, if any. */
  readonly rule: string | undefined;
}

/** Concurrent reads of manifests, whose size is not known beforehand. */
const parallelLoads = 32;

/** Concurrent existence checks for one manifest. */
const parallelChecks = 32;

type Roles = RegistryReader['manifests'] & RegistryWriter['manifests'] & RegistryDeleter['manifests'];

export interface ManifestsOptions {
  readonly requiredPlatforms: RequiredPlatforms;
  /** Called for each manifest that is looked up in the cache. */
  readonly onCacheRead?: ((isHit: boolean) => void) | undefined;
  /** Processes that share the memory for cached manifests. */
  readonly workers?: number | undefined;
}

/** The manifests of repositories, by tag and digest. */
export class Manifests implements Roles {
  readonly #store: ObjectStore;
  readonly #blobs: Blobs;
  readonly #tags: Tags;
  readonly #immutableTags: ImmutableTags;
  readonly #immutableImages: ImmutableImages;
  readonly #referrers: Referrers;
  readonly #requiredPlatforms: RequiredPlatforms;
  readonly #cache: ManifestCache;
  /** Concurrent requests for one manifest share a read: it may have megabytes. */
  readonly #reads = new SingleFlight<Digest, StoredManifest | undefined>();
  readonly #loads = new ConcurrencyLimit(parallelLoads);

  constructor(
    store: ObjectStore,
    blobs: Blobs,
    tags: Tags,
    referrers: Referrers,
    { requiredPlatforms, onCacheRead, workers }: ManifestsOptions,
  ) {
    this.#store = store;
    this.#blobs = blobs;
    this.#tags = tags;
    this.#immutableTags = new ImmutableTags(store);
    this.#immutableImages = new ImmutableImages(store, tags);
    this.#referrers = referrers;
    this.#requiredPlatforms = requiredPlatforms;
    this.#cache = new ManifestCache(onCacheRead, workers);
  }

  async get(name: RepositoryName, reference: Reference, accept = anything): Promise<FoundManifest> {
    return await this.#negotiate(name, reference, await this.#resolve(name, reference), accept);
  }

  async put(
    name: RepositoryName,
    reference: Reference,
    bytes: Uint8Array,
    contentType: string | undefined,
    { tags: named = [], conditions = unconditional, immutable }: PushOptions = {},
  ): Promise<PushedManifest> {
    const manifest = parseManifest(bytes, contentType);
    const digest = digestOf(bytes, algorithmOf(reference));
    if (reference.kind === 'digest' && reference.digest !== digest)
      throw new RegistryError('DIGEST_INVALID', `the manifest has the digest ${digest}`, [reference]);
    const tags = (reference.kind === 'tag' ? [reference.tag] : [...new Set(named)]).map((tag) => ({
      tag,
      rule: immutable?.(tag),
    }));
    await this.#assertPushable(name, tags, digest);
    if (isConditional(conditions)) assertConditions(conditions, await this.#current(name, reference));
    await this.#assertComplete(name, manifest);
    const info = { digest, mediaType: manifest.mediaType, size: bytes.byteLength };
    await Promise.all([
      // With a mount hint, since the same bytes may also be a blob.
      this.#store.put(blobData(digest), bytes, { metadata: this.#blobs.mountHint(name) }),
      writeLink(this.#store, revisionLink(name, digest), digest),
      ...tags.map(async ({ tag }) => {
        await this.#tags.recordHistory(name, tag, digest);
      }),
    ]);
    const { subject, reference: about } = manifest;
    await Promise.all([
      // Not before the link: see Referrers.add.
      subject && this.#referrers.add(name, { subject, descriptor: { ...info, ...about } }),
      this.#pointAll(name, tags, digest, reference.kind === 'tag' ? conditions : unconditional),
    ]);
    return { info, manifest, tags: tags.map(({ tag }) => tag) };
  }

  async delete(
    name: RepositoryName,
    reference: Reference,
    { conditions = unconditional, immutable }: DeleteOptions = {},
  ): Promise<void> {
    if (reference.kind === 'tag') {
      const tag = await this.#tags.find(name, reference.tag);
      if (tag === undefined) throw unknown(reference);
      assertDeletable(reference.tag, immutable);
      if (isConditional(conditions)) assertConditions(conditions, await this.#current(name, reference));
      await this.#tags.delete([tag]);
      return;
    }
    const [known, pointing] = await Promise.all([
      this.has(name, reference.digest),
      this.#tags.pointingAt(name, reference.digest, immutable),
    ]);
    if (!known) throw unknown(reference);
    assertConditions(conditions, reference.digest);
    if (immutable !== undefined)
      await this.#immutableImages.assertUnneeded(name, reference.digest, immutable);
    // The tags go first: an interruption must not leave dangling tags.
    await this.#tags.delete(pointing, [revisionLink(name, reference.digest)]);
    // Again, for tags that a concurrent push has moved here.
    await this.#deleteNewTags(name, reference.digest, immutable);
  }

  /**
   * Deletes the tags that pushes have moved to a manifest during its delete.
   * @throws TagImmutable if one of them is immutable; then the manifest is restored
   */
  async #deleteNewTags(
    name: RepositoryName,
    digest: Digest,
    immutable: Immutable | undefined,
  ): Promise<void> {
    try {
      await this.#tags.delete(await this.#tags.pointingAt(name, digest, immutable));
    } catch (error) {
      if (error instanceof TagImmutable) await writeLink(this.#store, revisionLink(name, digest), digest);
      throw error;
    }
  }

  async has(name: RepositoryName, digest: Digest): Promise<boolean> {
    return await exists(this.#store, revisionLink(name, digest));
  }

  /** The immutable tags first: if one of them was created meanwhile with another manifest, no other tag moves. */
  async #pointAll(
    name: RepositoryName,
    tags: readonly PushedTag[],
    digest: Digest,
    conditions: Conditions,
  ): Promise<void> {
    const isImmutable = ({ rule }: PushedTag) => rule !== undefined;
    for (const group of [tags.filter(isImmutable), tags.filter((one) => !isImmutable(one))])
      await Promise.all(
        group.map(async (one) => {
          await this.#point(name, one, digest, conditions);
        }),
      );
  }

  /**
   * Points a tag at a manifest, as the last step of a push. The re-check prevents dangling tags when a push races a delete of
   * the manifest: whichever checks second, here or in {@link delete}, sees the change of the other.
   */
  async #point(
    name: RepositoryName,
    { tag, rule }: PushedTag,
    digest: Digest,
    conditions: Conditions,
  ): Promise<void> {
    if (rule === undefined) await this.#tags.move(name, tag, digest, conditions);
    else await this.#immutableTags.create(name, tag, digest, { conditions, rule });
    if (await this.has(name, digest)) return;
    await writeLink(this.#store, revisionLink(name, digest), digest);
  }

  /** Looks at the immutable ones of the tags before any of them moves. @throws TagImmutable */
  async #assertPushable(name: RepositoryName, tags: readonly PushedTag[], digest: Digest): Promise<void> {
    const checks = tags.flatMap(({ tag, rule }) =>
      rule === undefined ? [] : [this.#immutableTags.assertPushable(name, tag, digest, rule)],
    );
    await Promise.all(checks);
  }

  /** The current content of a reference. */
  async #current(name: RepositoryName, reference: Reference): Promise<Digest | undefined> {
    if (reference.kind === 'tag') return await this.#tags.current(name, reference.tag);
    return (await this.has(name, reference.digest)) ? reference.digest : undefined;
  }

  async #resolve(name: RepositoryName, reference: Reference): Promise<Digest> {
    if (reference.kind === 'digest') return reference.digest;
    const link = await this.#tags.resolve(name, reference.tag);
    if (link === undefined) throw unknown(reference);
    return link.digest;
  }

  /** The manifest, or the default image of an index that the client does not accept. */
  async #negotiate(
    name: RepositoryName,
    reference: Reference,
    digest: Digest,
    accept: Accept,
  ): Promise<FoundManifest> {
    const found = await this.#find(name, digest);
    if (found === undefined) throw unknown({ kind: 'digest', digest });
    if (reference.kind === 'digest' || accept.accepts(found.info.mediaType)) return found;
    const child = (await this.#stored(digest))?.defaultChild;
    if (child === undefined) return found;
    const image = await this.#find(name, child);
    return image !== undefined && accept.names(image.info.mediaType) ? image : found;
  }

  async #find(name: RepositoryName, digest: Digest): Promise<FoundManifest | undefined> {
    const [linked, stored] = await Promise.all([this.has(name, digest), this.#stored(digest)]);
    if (!linked || stored === undefined) return undefined;
    const { bytes, mediaType } = stored;
    const signed =
      mediaType === unsignedManifestType ? await readSigned(this.#store, name, digest, bytes) : undefined;
    return signed === undefined
      ? { info: { digest, mediaType, size: bytes.byteLength }, bytes }
      : { info: { digest, mediaType: signedManifestType, size: signed.byteLength }, bytes: signed };
  }

  async #stored(digest: Digest): Promise<StoredManifest | undefined> {
    const load = async () => await this.#loads.run(async () => await this.#load(digest));
    return this.#cache.get(digest) ?? (await this.#reads.run(digest, load));
  }

  async #load(digest: Digest): Promise<StoredManifest | undefined> {
    const bytes = await loadManifest(this.#store, digest);
    if (bytes === undefined) return undefined;
    const stored = new StoredManifest(bytes);
    this.#cache.set(digest, stored);
    return stored;
  }

  async #assertComplete(name: RepositoryName, { blobs, manifests }: Manifest): Promise<void> {
    const required = manifests.filter((child) => isRequired(child, this.#requiredPlatforms));
    const children = new Map(required.map((child) => [`${child.digest} ${child.isManifest}`, child]));
    const missingChildren = await without(
      [...children.values()],
      async (child) => await this.#hasChild(name, child),
    );
    const missing = [
      ...(await without(blobs, async (digest) => await this.#blobs.has(name, digest))),
      ...missingChildren.map(({ digest }) => digest),
    ];
    if (missing.length > 0)
      throw new RegistryError(
        'MANIFEST_BLOB_UNKNOWN',
        undefined,
        [...new Set(missing)].map((digest) => ({ digest })),
      );
  }

  /** An entry whose media type is not a manifest's is usually a blob, but may be a manifest of an unknown type. */
  async #hasChild(name: RepositoryName, { digest, isManifest }: Child): Promise<boolean> {
    if (!isManifest && (await this.#blobs.has(name, digest))) return true;
    return await this.has(name, digest);
  }
}

/** The items for which a check fails, in order. */
async function without<T>(all: readonly T[], has: (one: T) => Promise<boolean>): Promise<T[]> {
  const found = await inParallel(all, parallelChecks, has);
  return all.filter((_, i) => found[i] !== true);
}

/** A push by digest keeps its algorithm, also for its tags; a push by tag uses the default. */
function algorithmOf(reference: Reference): Algorithm {
  return reference.kind === 'digest' ? digestParts(reference.digest).algorithm : canonicalAlgorithm;
}

function unknown(reference: Reference): RegistryError {
  const detail = reference.kind === 'tag' ? { tag: reference.tag } : { digest: reference.digest };
  return new RegistryError('MANIFEST_UNKNOWN', undefined, [detail]);
}
