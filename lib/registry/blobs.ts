import type { Readable } from 'node:stream';
import { assertConditions, unconditional } from '../protocol/conditions.ts';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import {
  FenceEnded,
  ObjectNotFound,
  type ByteRange,
  type HeadOptions,
  type NewObject,
  type ObjectHead,
  type ObjectStore,
} from '../storage/store.ts';
import type { Collections } from './collection/collections.ts';
import type { CollectionView } from './collection/views.ts';
import { blobUrlLifetimeSeconds } from './url-signer.ts';
import { blobData, layerLink } from './layout.ts';
import type { ImmutableImages } from './immutable-images.ts';
import type {
  AnnounceOptions,
  BlobInfo,
  DeleteOptions,
  MountedBlob,
  RegistryDeleter,
  RegistryReader,
  RegistryWriter,
  StatOptions,
} from './interface.ts';
import { KnownBlobs } from './known-blobs.ts';
import { exists, linkObject, undefinedIfMissing, writeLink } from './links.ts';
import type { MountHints } from './mount-hints.ts';
import {
  announced,
  besideIntent,
  writeIntent,
  type Announce,
  type Announcement,
} from './outbox/announcement.ts';

/** How a blob is looked for. */
interface FindOptions extends Pick<StatOptions, 'isExpected'> {
  /** For commits under it, nothing counts that was seen before it was opened. */
  readonly view?: CollectionView | undefined;
  /** Whether nothing that is remembered counts. */
  readonly pastCaches?: boolean;
}

type Roles = RegistryReader['blobs'] & RegistryWriter['blobs'] & RegistryDeleter['blobs'];

/**
 * The blobs of repositories. All repositories share the bytes. A blob belongs to a repository if the repository has a
 * link to it; without one it is unknown there.
 */
export class Blobs implements Roles {
  readonly #store: ObjectStore;
  readonly #mountHints: MountHints;
  readonly #immutableImages: ImmutableImages;
  readonly #collections: Collections;
  readonly #known: KnownBlobs;

  constructor(
    store: ObjectStore,
    mountHints: MountHints,
    immutableImages: ImmutableImages,
    collections: Collections,
    known = new KnownBlobs(),
  ) {
    this.#store = store;
    this.#immutableImages = immutableImages;
    this.#mountHints = mountHints;
    this.#collections = collections;
    this.#known = known;
  }

  async stat(
    name: RepositoryName,
    digest: Digest,
    { isExpected, hidesCondemned = false }: StatOptions = {},
  ): Promise<BlobInfo> {
    const view = hidesCondemned ? await this.#collections.view() : undefined;
    const blob = await this.find(name, digest, { ...(isExpected !== undefined && { isExpected }), view });
    if (blob === undefined) throw unknown(digest);
    if (view !== undefined && (await this.#collections.isHidden(view, digest, name))) throw unknown(digest);
    return blob;
  }

  /** As {@link stat}, but undefined if the repository does not have the blob. */
  async find(
    name: RepositoryName,
    digest: Digest,
    { isExpected = true, view, pastCaches = false }: FindOptions = {},
  ): Promise<BlobInfo | undefined> {
    const known = pastCaches ? undefined : this.#known.size(digest, view?.number ?? 0);
    const linked = exists(this.#store, layerLink(name, digest));
    // At once, unless that would often be for nothing.
    const sized = known ?? (isExpected ? this.#size(digest) : undefined);
    const [isLinked, atOnce] = await Promise.all([linked, sized]);
    if (!isLinked) return undefined;
    // Both are needed: distribution's garbage collection removes bytes and leaves links.
    const size = atOnce ?? (isExpected ? undefined : await this.#size(digest));
    return size === undefined ? undefined : { digest, size };
  }

  async has(name: RepositoryName, digest: Digest, options?: FindOptions): Promise<boolean> {
    return (await this.find(name, digest, options)) !== undefined;
  }

  async url(_name: RepositoryName, { digest }: BlobInfo): Promise<URL | undefined> {
    return await this.#store.signedUrl(blobData(digest), blobUrlLifetimeSeconds);
  }

  async open(
    _name: RepositoryName,
    { digest, size }: BlobInfo,
    range?: ByteRange,
  ): Promise<Readable | Buffer> {
    try {
      const object = await this.#store.open(blobData(digest), range, size);
      if (object.bytes === undefined) return object.body;
      if (object.size === size) return object.bytes;
    } catch (error) {
      if (!(error instanceof ObjectNotFound)) throw error;
      this.#known.forget(digest);
      throw unknown(digest);
    }
    // The answer would have a length that is not that of its body.
    this.#known.forget(digest);
    throw new RegistryError('UNAVAILABLE', 'the bytes of the blob have changed meanwhile; try again');
  }

  /**
   * Adds a blob to a repository that has sent its bytes.
   * @param place places them; writes the links it is given after them if that takes a single write, and returns whether it has
   * @throws RegistryError UNAVAILABLE if it took so long that a garbage collection has deleted them again
   */
  async place(
    name: RepositoryName,
    blob: BlobInfo,
    place: (...links: readonly NewObject[]) => Promise<boolean>,
    { announce }: AnnounceOptions = {},
  ): Promise<void> {
    await announced(announce, async (announceOnce) => {
      const announcement = announceOnce({ action: 'pushed', content: 'blob', repository: name, ...blob });
      await this.#place(name, blob, place, announcement);
    });
  }

  async #place(
    name: RepositoryName,
    blob: BlobInfo,
    place: (...links: readonly NewObject[]) => Promise<boolean>,
    announcement: Announcement | undefined,
  ): Promise<void> {
    const view = await this.#collections.view();
    await this.#collections.rescue(view, name, [[blob.digest]]);
    const link = linkObject(layerLink(name, blob.digest), blob.digest, view.fence);
    // The link must come after the intent, which goes beside the bytes.
    const links = announcement === undefined ? [link] : [];
    let isLinked = false;
    try {
      isLinked = await besideIntent(this.#store, announcement, view.fence, async () => await place(...links));
      this.#saw(blob, view);
    } catch (error) {
      if (!(error instanceof FenceEnded)) throw error;
      this.#collections.drop(view);
    }
    if (!isLinked || links.length === 0) await this.#linkPlaced(name, blob, view, announcement);
  }

  /** @param placed the view under which the bytes were placed, beside an intent */
  async #linkPlaced(
    name: RepositoryName,
    { digest }: BlobInfo,
    placed: CollectionView,
    announcement: Announcement | undefined,
  ): Promise<void> {
    await this.#collections.commit(async (view) => {
      if (view.number !== placed.number) {
        await this.#collections.rescue(view, name, [[digest]]);
        const head = await besideIntent(
          this.#store,
          announcement,
          view.fence,
          async () => await this.#head(digest),
        );
        if (head === undefined) throw lost();
      }
      await this.#link(name, digest, view);
    });
  }

  /** Notes that the bytes of a blob were placed under a view. */
  #saw({ digest, size }: BlobInfo, { number }: CollectionView): void {
    this.#known.add(digest, size, this.#known.now(number));
  }

  /** The caller has received its bytes or has verified access to them elsewhere. */
  async #link(name: RepositoryName, digest: Digest, { fence }: CollectionView): Promise<void> {
    await writeLink(this.#store, layerLink(name, digest), digest, fence && { fence });
  }

  async mount(
    name: RepositoryName,
    digest: Digest,
    from: RepositoryName,
    { announce }: AnnounceOptions = {},
  ): Promise<MountedBlob | undefined> {
    return await this.#mounting(
      announce,
      async (view, announceOnce) => await this.#mount(name, digest, from, view, announceOnce),
    );
  }

  /** Announces a mount, and commits it under a view. */
  async #mounting(
    announce: Announce | undefined,
    mount: (view: CollectionView, announce: Announce) => Promise<MountedBlob | undefined>,
  ): Promise<MountedBlob | undefined> {
    return await announced(
      announce,
      async (announceOnce) => await this.#collections.commit(async (view) => await mount(view, announceOnce)),
      isMounted,
    );
  }

  async #mount(
    name: RepositoryName,
    digest: Digest,
    from: RepositoryName,
    view: CollectionView,
    announce: Announce,
  ): Promise<MountedBlob | undefined> {
    const about = { action: 'mounted', content: 'blob', size: undefined } as const;
    const announcement = announce({ ...about, repository: name, digest, from });
    const find = async () => await this.find(from, digest, { view });
    const blob = await besideIntent(this.#store, announcement, view.fence, find);
    if (blob === undefined || (await this.#collections.isCondemned(view, digest, [from, name])))
      return undefined;
    const rescued = await this.#collections.rescue(view, name, [[digest]]);
    if (rescued.size > 0 && !(await this.has(from, digest, { pastCaches: true }))) return undefined;
    await this.#link(name, digest, view);
    return { ...blob, from };
  }

  async mountFromAnywhere(
    name: RepositoryName,
    digest: Digest,
    isSource: (from: RepositoryName) => boolean = () => true,
    { announce }: AnnounceOptions = {},
  ): Promise<MountedBlob | undefined> {
    return await this.#mounting(
      announce,
      async (view, announceOnce) => await this.#mountFromAnywhere(name, digest, isSource, view, announceOnce),
    );
  }

  async #mountFromAnywhere(
    name: RepositoryName,
    digest: Digest,
    isSource: (from: RepositoryName) => boolean,
    view: CollectionView,
    announce: Announce,
  ): Promise<MountedBlob | undefined> {
    const [isLinked, data] = await Promise.all([
      exists(this.#store, layerLink(name, digest)),
      // Not what is known of it: its metadata says where it came from.
      this.#head(digest, { metadata: true }),
    ]);
    if (data === undefined) return undefined;
    if (isLinked && !(await this.#collections.isCondemned(view, digest, [name])))
      return { digest, size: data.size, from: undefined };
    const from = isLinked ? undefined : this.#mountHints.read(data.metadata);
    if (from === undefined || !isSource(from)) return undefined;
    return await this.#mount(name, digest, from, view, announce);
  }

  /** Metadata for the object of a blob that is pushed to this repository. */
  mountHint(name: RepositoryName): Readonly<Record<string, string>> {
    return this.#mountHints.metadataFor(name);
  }

  async delete(
    name: RepositoryName,
    digest: Digest,
    { conditions = unconditional, immutable, announce }: DeleteOptions = {},
  ): Promise<void> {
    const link = layerLink(name, digest);
    if (!(await exists(this.#store, link))) throw unknown(digest);
    assertConditions(conditions, digest);
    if (immutable !== undefined) await this.#immutableImages.assertUnneeded(name, digest, immutable);
    const announcement = announce?.({ action: 'deleted', content: 'blob', repository: name, digest });
    if (announcement === undefined) await this.#store.delete([link]);
    else await this.#deleteAnnounced(link, announcement);
  }

  /** As a commit, so that it cannot land once its intent is dropped. */
  async #deleteAnnounced(link: string, announcement: Announcement): Promise<void> {
    await this.#collections.commit(async ({ fence }) => {
      await writeIntent(this.#store, announcement, fence);
      await this.#store.delete([link], { fence, isCommit: true });
    });
    await announcement.done();
  }

  /** The bytes of a blob, as the bucket says; undefined if it has none. */
  async #size(digest: Digest): Promise<number | undefined> {
    return (await this.#head(digest))?.size;
  }

  async #head(digest: Digest, options?: HeadOptions): Promise<ObjectHead | undefined> {
    const asked = this.#known.now(this.#collections.number);
    const data = await undefinedIfMissing(this.#store.head(blobData(digest), options));
    if (data === undefined) this.#known.forget(digest);
    else this.#known.add(digest, data.size, asked);
    return data;
  }
}

/** Also where the repository had the blob already. */
function isMounted(blob: MountedBlob | undefined): boolean {
  return blob !== undefined;
}

function lost(): RegistryError {
  return new RegistryError('UNAVAILABLE', 'the storage has lost the bytes; send them again');
}

function unknown(digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', undefined, [{ digest }]);
}
