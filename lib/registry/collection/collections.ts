import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { attachedTo } from '../../protocol/referrers.ts';
import type { Tag } from '../../protocol/tags.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { Clock } from '../expiring-cache.ts';
import { layerLink, rescueKey } from '../layout.ts';
import { exists, undefinedIfMissing } from '../links.ts';
import { awaitDeletions, deletionWaitMs } from './deletions.ts';
import { newerThanMark } from './mark.ts';
import { CollectionViews, type CollectionView } from './views.ts';

/** Concurrent rescues for one commit. */
const parallelRescues = 32;

export interface CollectionsOptions {
  readonly clock?: Clock;
  /** Whether nothing is ever committed, so that nothing need be known of collections. Default: false. */
  readonly readOnly?: boolean;
  /** How long a commit waits for a deletion. */
  readonly waitMs?: number;
}

/** A digest that the lists of some marks have. */
interface Listed {
  readonly digest: Digest;
  readonly marks: readonly string[];
}

/**
 * What writers must know of garbage collections (docs/garbage-collection.md, "Writers"). A request takes a view when it begins. Its
 * looks at the bucket and its commits belong to that view.
 */
export class Collections {
  readonly #store: ObjectStore;
  readonly #views: CollectionViews;
  readonly #waitMs: number;

  constructor(
    store: ObjectStore,
    { clock, readOnly = false, waitMs = deletionWaitMs }: CollectionsOptions = {},
  ) {
    this.#store = store;
    this.#views = new CollectionViews(store, readOnly, clock);
    this.#waitMs = waitMs;
  }

  /** See {@link CollectionViews.number}. */
  get number(): number {
    return this.#views.number;
  }

  /** See {@link CollectionViews.current}. */
  async view(): Promise<CollectionView> {
    return await this.#views.current();
  }

  /** See {@link CollectionViews.commit}. */
  async commit<T>(work: (view: CollectionView) => Promise<T>): Promise<T> {
    return await this.#views.commit(work);
  }

  /** See {@link CollectionViews.drop}. */
  drop(view: CollectionView): void {
    this.#views.drop(view);
  }

  /**
   * Whether clients are told that a blob is not there, so that they upload it: it is listed and nobody has rescued it.
   * @param repositories whose links count
   */
  async isCondemned(
    view: CollectionView,
    digest: Digest,
    repositories: readonly RepositoryName[],
  ): Promise<boolean> {
    return (await this.#condemning(view, digest, repositories)).length > 0;
  }

  /**
   * As {@link isCondemned}, for a repository that has a link to a blob. One that is newer than the mark stays under it, as do the bytes: a
   * process that had not read the mark may just have written it, and clients look for what they have uploaded.
   */
  async isHidden(view: CollectionView, digest: Digest, repository: RepositoryName): Promise<boolean> {
    const marks = await this.#condemning(view, digest, [repository]);
    if (marks.length === 0) return false;
    const link = await undefinedIfMissing(this.#store.head(layerLink(repository, digest)));
    for (const mark of marks) {
      const began = await view.lists?.began(mark);
      const isNewer =
        link !== undefined &&
        began !== undefined &&
        link.lastModified.getTime() > newerThanMark(began.getTime());
      if (!isNewer) return true;
    }
    return false;
  }

  /** The marks that list a digest, and under which nobody has rescued it. */
  async #condemning(
    view: CollectionView,
    digest: Digest,
    repositories: readonly RepositoryName[],
  ): Promise<readonly string[]> {
    const { marks } = await this.#listed(view, digest, repositories);
    const rescued = await inParallel(
      marks,
      parallelRescues,
      async (mark) => await exists(this.#store, rescueKey(mark, digest)),
    );
    return marks.filter((_, i) => rescued[i] !== true);
  }

  /**
   * Rescues what is listed of some digests that a commit to a repository needs, and waits until no deletion of it is under way. What
   * is there of these after that is there to stay until the commit lands, or never will.
   * @param groups are rescued one after another, so that what a rescued manifest needs is rescued as well, whenever this is stopped
   * @returns what is listed, and must be looked at again
   * @throws RegistryError UNAVAILABLE if a deletion takes too long
   */
  async rescue(
    view: CollectionView,
    name: RepositoryName,
    groups: readonly (readonly Digest[])[],
  ): Promise<ReadonlySet<Digest>> {
    const { fencing } = this.#store;
    if (view.lists === undefined || fencing === undefined) return new Set();
    const listed = new Map<Digest, Listed>();
    // One after another, in the order of the lists: each is read once, and few are in memory.
    for (const digest of [...new Set(groups.flat())].sort()) {
      const found = await this.#listed(view, digest, [name]);
      if (found.marks.length > 0) listed.set(digest, found);
    }
    if (listed.size === 0) return new Set();
    for (const group of groups) {
      const rescues = group.flatMap((digest) =>
        (listed.get(digest)?.marks ?? []).map((mark) => rescueKey(mark, digest)),
      );
      await inParallel(rescues, parallelRescues, async (key) => await this.#store.put(key, rescue));
    }
    const marks = new Set([...listed.values()].flatMap((one) => one.marks));
    const found = new Set(listed.keys());
    await awaitDeletions(this.#store, fencing, [...marks], found, this.#waitMs);
    return found;
  }

  /** Before a commit of tags: rescues what they are about, as those of cosign are. They would go with it. */
  async rescueSubjects(view: CollectionView, name: RepositoryName, tags: readonly Tag[]): Promise<void> {
    const subjects = tags.map(attachedTo).filter((subject) => subject !== undefined);
    if (subjects.length > 0) await this.rescue(view, name, [subjects]);
  }

  /** The marks that list all of a digest, or its link in one of some repositories. */
  async #listed(
    { marks, lists }: CollectionView,
    digest: Digest,
    repositories: readonly RepositoryName[],
  ): Promise<Listed> {
    const found: string[] = [];
    for (const mark of marks) {
      const condemned = await lists?.find(mark, digest);
      if (condemned === '*' || repositories.some((name) => condemned?.includes(name))) found.push(mark);
    }
    return { digest, marks: found };
  }
}

/** What a rescue holds does not matter. Not every store takes empty objects. */
const rescue = Buffer.from('{}\n');
