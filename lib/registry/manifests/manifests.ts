import {
  assertConditions,
  isConditional,
  unconditional,
  type Conditions,
} from '../../protocol/conditions.ts';
import { canonicalAlgorithm, digestParts, type Algorithm, type Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { parseManifest, type Child, type Manifest } from '../../protocol/manifests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Accept } from '../../protocol/negotiation.ts';
import type { Reference } from '../../protocol/references.ts';
import { FenceEnded, type Fence, type ObjectStore } from '../../storage/store.ts';
import type { Blobs } from '../blobs.ts';
import type { Collections } from '../collection/collections.ts';
import { rescueNeeds, type Rescued } from '../collection/rescue-needs.ts';
import type { CollectionView } from '../collection/views.ts';
import { digestOf } from '../uploads/content-hash.ts';
import { blobData, revisionLink, tagIndexLink, tagLink } from '../layout.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { ImmutableImages } from '../immutable-images.ts';
import { assertDeletable, ImmutableTags } from '../immutable-tags.ts';
import {
  TagImmutable,
  type DeleteOptions,
  type FoundManifest,
  type Immutable,
  type ManifestInfo,
  type PushedManifest,
  type PushOptions,
  type RegistryDeleter,
  type RegistryReader,
  type RegistryWriter,
} from '../interface.ts';
import { linkObject, undefinedIfDamaged, undefinedIfMissing, writeLink } from '../links.ts';
import {
  announced,
  besideIntent,
  isRefusal,
  putIntent,
  type Announce,
  type Announcement,
} from '../outbox/announcement.ts';
import { describePush } from '../outbox/describe-push.ts';
import { begun, made, marksIn, type Marks } from '../outbox/mark.ts';
import { putAll } from '../put-objects.ts';
import { ManifestCache } from './cache.ts';
import { ManifestReader, unknownManifest } from './reader.ts';
import type { Referrers } from './referrers.ts';
import { isRequired, type RequiredPlatforms } from './required-platforms.ts';
import { describeTag, type StoredTag, type Tags } from '../tags.ts';
import { pusher } from '../undo/history.ts';
import { DeletionRecords } from '../undo/records.ts';
import type { Tag } from '../../protocol/tags.ts';

interface PushedTag {
  readonly tag: Tag;
  /** That keeps the tag where it is, if any. */
  readonly rule: string | undefined;
}

/** A manifest that is pushed. */
interface Push {
  readonly name: RepositoryName;
  readonly reference: Reference;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
  readonly info: ManifestInfo;
  readonly tags: readonly PushedTag[];
  readonly conditions: Conditions;
  readonly pushedBy: string | undefined;
  readonly isPartial: boolean;
  readonly announcement: Announcement | undefined;
}

/** A manifest or tag that is deleted. */
interface Removal extends Omit<DeleteOptions, 'announce'> {
  readonly name: RepositoryName;
  readonly reference: Reference;
}

/** Concurrent existence checks for one manifest. */
const parallelChecks = 32;

type Roles = RegistryReader['manifests'] & RegistryWriter['manifests'] & RegistryDeleter['manifests'];

export interface ManifestsOptions {
  readonly collections: Collections;
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
  readonly #reader: ManifestReader;
  readonly #deletions: DeletionRecords;
  readonly #collections: Collections;

  constructor(
    store: ObjectStore,
    blobs: Blobs,
    tags: Tags,
    referrers: Referrers,
    { collections, requiredPlatforms, onCacheRead, workers }: ManifestsOptions,
  ) {
    this.#store = store;
    this.#collections = collections;
    this.#blobs = blobs;
    this.#tags = tags;
    this.#immutableTags = new ImmutableTags(store);
    this.#immutableImages = new ImmutableImages(store, tags);
    this.#referrers = referrers;
    this.#requiredPlatforms = requiredPlatforms;
    this.#deletions = new DeletionRecords(store);
    this.#reader = new ManifestReader(store, tags, new ManifestCache(onCacheRead, workers));
  }

  async get(name: RepositoryName, reference: Reference, accept?: Accept): Promise<FoundManifest> {
    return await this.#reader.get(name, reference, accept);
  }

  async has(name: RepositoryName, digest: Digest): Promise<boolean> {
    return await this.#reader.has(name, digest);
  }

  async put(
    name: RepositoryName,
    reference: Reference,
    bytes: Uint8Array,
    contentType: string | undefined,
    {
      tags: named = [],
      conditions = unconditional,
      immutable,
      pushedBy,
      isPartial = false,
      announce,
    }: PushOptions = {},
  ): Promise<PushedManifest> {
    const manifest = parseManifest(bytes, contentType);
    const digest = digestOf(bytes, algorithmOf(reference));
    if (reference.kind === 'digest' && reference.digest !== digest)
      throw new RegistryError('DIGEST_INVALID', `the manifest has the digest ${digest}`, [reference]);
    const tags = (reference.kind === 'tag' ? [reference.tag] : [...new Set(named)]).map((tag) => ({
      tag,
      rule: immutable?.(tag),
    }));
    const info = { digest, mediaType: manifest.mediaType, size: bytes.byteLength };
    const push = { name, reference, bytes, manifest, info, tags, conditions, pushedBy, isPartial };
    const pointed = tags.map(({ tag }) => tag);
    await announced(announce, async (announceOnce) => {
      const announcement =
        announce && announceOnce(describePush({ repository: name, info, bytes, tags: pointed }));
      await this.#collections.commit(async (view) => {
        await this.#commit({ ...push, announcement }, view);
      });
    });
    return { info, manifest, tags: pointed };
  }

  /** Looks at everything that a manifest needs, and stores it. May be repeated. */
  async #commit(push: Push, view: CollectionView): Promise<void> {
    const { name, reference, bytes, manifest, info, tags, conditions, pushedBy, isPartial, announcement } =
      push;
    const { digest } = info;
    const { fence } = view;
    await this.#assertPushable(name, tags, digest);
    if (isConditional(conditions)) assertConditions(conditions, await this.#current(name, reference));
    await besideIntent(this.#store, announcement, fence, async () => {
      if (!isPartial) await this.#assertComplete(name, manifest, view);
    });
    const named = tags.map(({ tag }) => tag);
    await this.#collections.rescueSubjects(view, name, named);
    const { missing, links } = await this.#rescueNeeds(name, { digest, bytes }, view);
    if (missing.length > 0 && !isPartial) throw incomplete(missing);
    if (links.length > 0) await putAll(this.#store, links);
    announcement?.keep();
    await putAll(this.#store, [
      // With a mount hint, since the same bytes may also be a blob.
      { key: blobData(digest), bytes, metadata: this.#blobs.mountHint(name) },
      {
        ...linkObject(revisionLink(name, digest), digest, fence),
        metadata: tags.length > 0 ? begun(announcement) : made(announcement),
      },
      // As in distribution, the history of a tag precedes its move.
      ...named.map((tag) => ({
        ...linkObject(tagIndexLink(name, tag, digest), digest, fence),
        metadata: pusher(pushedBy),
      })),
    ]);
    const { subject, reference: about } = manifest;
    await Promise.all([
      // Not before the link: see Referrers.add.
      subject && this.#referrers.add(name, { subject, descriptor: { ...info, ...about } }),
      this.#pointAll(push, reference.kind === 'tag' ? conditions : unconditional, view),
    ]);
  }

  async #rescueNeeds(
    name: RepositoryName,
    manifest: { readonly digest: Digest; readonly bytes: Uint8Array },
    view: CollectionView,
  ): Promise<Rescued> {
    return await rescueNeeds(this.#store, this.#collections, view, name, manifest, {
      load: async (digest) => await this.#reader.bytes(digest),
      isRequired: (child) => isRequired(child, this.#requiredPlatforms),
    });
  }

  async delete(
    name: RepositoryName,
    reference: Reference,
    { announce, ...options }: DeleteOptions = {},
  ): Promise<void> {
    const removal = { name, reference, ...options };
    if (announce === undefined) await this.#delete(removal, () => undefined, undefined);
    else
      await announced(announce, async (announceOnce) => {
        await this.#deleteAnnounced(removal, announceOnce);
      });
  }

  /** As a commit, so that it cannot land once its intent is dropped. */
  async #deleteAnnounced(removal: Removal, announce: Announce): Promise<void> {
    let isRepeated = false;
    await this.#collections.commit(async ({ fence }) => {
      try {
        await this.#delete(removal, announce, fence);
      } catch (error) {
        // The attempt before may have deleted it.
        if (isRepeated && error instanceof RegistryError && error.failure === 'MANIFEST_UNKNOWN') return;
        isRepeated = error instanceof FenceEnded;
        throw error;
      }
    });
  }

  async #delete(removal: Removal, announce: Announce, fence: Fence | undefined): Promise<void> {
    const { name, reference, conditions = unconditional, immutable } = removal;
    const about = { action: 'deleted', repository: name } as const;
    if (reference.kind === 'tag') {
      const tag = await this.#tags.find(name, reference.tag);
      if (tag === undefined) throw unknownManifest(reference);
      assertDeletable(reference.tag, immutable);
      if (isConditional(conditions)) assertConditions(conditions, await this.#current(name, reference));
      const digest = await this.#tags.target(tag);
      const announcement = announce({ ...about, content: 'tag', tag: reference.tag, digest });
      await besideIntent(this.#store, announcement, fence, async () => {
        await this.#deletions.add(name, { tags: [describeTag(name, tag, digest)] });
      });
      await this.#tags.deleteAtOnce(tag, fence);
      return;
    }
    const { digest } = reference;
    const [link, pointing] = await Promise.all([
      undefinedIfMissing(this.#store.head(revisionLink(name, digest), { metadata: true })),
      this.#tags.pointingAt(name, digest, immutable),
    ]);
    if (link === undefined) throw unknownManifest(reference);
    assertConditions(conditions, digest);
    if (immutable !== undefined) await this.#immutableImages.assertUnneeded(name, digest, immutable);
    const tags = pointing.map(({ tag }) => tag);
    const announcement = announce({ ...about, content: 'manifest', digest, tags });
    await besideIntent(this.#store, announcement, fence, async () => {
      await this.#record(name, digest, pointing, marksIn(link.metadata));
    });
    // The tags go first: an interruption must not leave dangling tags.
    await this.#tags.delete(pointing, { afterwards: [revisionLink(name, digest)], fence });
    // Again, for tags that a concurrent push has moved here.
    await this.#deleteNewTags(name, digest, immutable, fence);
  }

  /** Records the delete of a manifest with its tags, all in one object, so that they can be brought back. */
  async #record(
    name: RepositoryName,
    digest: Digest,
    pointing: readonly StoredTag[],
    marks?: Marks,
  ): Promise<void> {
    const tags = pointing.map((tag) => describeTag(name, tag, digest));
    await this.#deletions.add(name, { manifests: [digest], tags, made: marks?.made ?? [] });
  }

  /**
   * Deletes the tags that pushes have moved to a manifest during its delete.
   * @throws TagImmutable if one of them is immutable; then the manifest is restored
   */
  async #deleteNewTags(
    name: RepositoryName,
    digest: Digest,
    immutable: Immutable | undefined,
    fence: Fence | undefined,
  ): Promise<void> {
    try {
      const pointing = await this.#tags.pointingAt(name, digest, immutable);
      if (pointing.length > 0) await this.#record(name, digest, pointing);
      await this.#tags.delete(pointing, { fence });
    } catch (error) {
      if (error instanceof TagImmutable) await this.#restore(name, digest);
      throw error;
    }
  }

  /** Writes the link of a manifest again that was deleted just now. */
  async #restore(name: RepositoryName, digest: Digest): Promise<void> {
    await this.#collections.commit(async (view) => {
      const bytes = await this.#reader.bytes(digest);
      if (bytes !== undefined) await this.#rescueNeeds(name, { digest, bytes }, view);
      await writeLink(this.#store, revisionLink(name, digest), digest, { fence: view.fence });
    });
  }

  /**
   * Points tags at a manifest, as the last step of a push. The look back prevents dangling tags when a push races a delete of
   * the manifest: whichever checks second, here or in {@link delete}, sees the change of the other.
   */
  async #pointAll(
    { name, tags, bytes, info, announcement }: Push,
    conditions: Conditions,
    { fence }: CollectionView,
  ): Promise<void> {
    const { digest } = info;
    const isImmutable = ({ rule }: PushedTag) => rule !== undefined;
    const moved: Tag[] = [];
    const point = async (tag: PushedTag) => {
      try {
        await this.#point(name, tag, digest, conditions, fence);
      } catch (error) {
        // An attempt whose answer was lost may have moved it, and can be seen.
        if (announcement !== undefined && isRefusal(error) && (await this.#isAt(name, tag.tag, digest)))
          moved.push(tag.tag);
        throw error;
      }
      moved.push(tag.tag);
    };
    let told = announcement;
    try {
      // The immutable ones first: if one of them was created meanwhile with another manifest, no other tag moves.
      await all(tags.filter(isImmutable).map(point));
      await all(tags.filter((tag) => !isImmutable(tag)).map(point));
    } catch (error) {
      told = undefined;
      if (announcement !== undefined && isRefusal(error)) {
        // The manifest itself can be seen, and stays: others may have pushed it too.
        const seen = describePush({ repository: name, info, bytes, tags: moved });
        await putIntent(this.#store, announcement.narrowed(seen, fence));
        told = announcement;
      }
      throw error;
    } finally {
      // Also for those that moved before another failed. Once for all of them.
      if (moved.length > 0 || (tags.length > 0 && told !== undefined))
        await this.#lookBack(name, digest, fence, told);
    }
  }

  /** Writes the link of a manifest again if it is gone; with an announcement in any case, to say that all of that was made. */
  async #lookBack(
    name: RepositoryName,
    digest: Digest,
    fence: Fence | undefined,
    announcement: Announcement | undefined,
  ): Promise<void> {
    if (announcement === undefined && (await this.has(name, digest))) return;
    await writeLink(this.#store, revisionLink(name, digest), digest, { fence, metadata: made(announcement) });
  }

  async #isAt(name: RepositoryName, tag: Tag, digest: Digest): Promise<boolean> {
    const seen = await undefinedIfDamaged(this.#store, tagLink(name, tag), this.#tags.resolve(name, tag));
    return seen?.digest === digest;
  }

  async #point(
    name: RepositoryName,
    { tag, rule }: PushedTag,
    digest: Digest,
    conditions: Conditions,
    fence: Fence | undefined,
  ): Promise<void> {
    if (rule === undefined) await this.#tags.move(name, tag, digest, { conditions, fence });
    else await this.#immutableTags.create(name, tag, digest, { conditions, rule, fence });
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

  async #assertComplete(
    name: RepositoryName,
    { blobs, manifests }: Manifest,
    view: CollectionView,
  ): Promise<void> {
    const required = manifests.filter((child) => isRequired(child, this.#requiredPlatforms));
    const children = new Map(required.map((child) => [`${child.digest} ${child.isManifest}`, child]));
    const missingChildren = await without(
      [...children.values()],
      async (child) => await this.#hasChild(name, child, view),
    );
    const missing = [
      ...(await without(blobs, async (digest) => await this.#blobs.has(name, digest, { view }))),
      ...missingChildren.map(({ digest }) => digest),
    ];
    if (missing.length > 0) throw incomplete(missing);
  }

  /** An entry whose media type is not a manifest's is usually a blob, but may be a manifest of an unknown type. */
  async #hasChild(
    name: RepositoryName,
    { digest, isManifest }: Child,
    view: CollectionView,
  ): Promise<boolean> {
    if (!isManifest && (await this.#blobs.has(name, digest, { view }))) return true;
    return await this.has(name, digest);
  }
}

function incomplete(missing: readonly Digest[]): RegistryError {
  const details = [...new Set(missing)].map((digest) => ({ digest }));
  return new RegistryError('MANIFEST_BLOB_UNKNOWN', undefined, details);
}

/** Waits for all of some work. @throws the first error in their order, once nothing is in progress any more */
async function all(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason;
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
