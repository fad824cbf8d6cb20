import { assertConditions, isConditional, type Conditions } from '../protocol/conditions.ts';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';
import { PreconditionFailed, type Fence, type ObjectStore, type StoreLimits } from '../storage/store.ts';
import { TagImmutable, type Immutable } from './interface.ts';
import { tagIndexLink, tagLink } from './layout.ts';
import { isDamage, readLink, writeLink, type Link } from './links.ts';

/** How often a push tries to create a tag. Each time another writer must have created it and deleted it again. */
const maxCreations = 3;

const damagedLink = 'its link in the storage is damaged, so its manifest is unknown; push another tag';

/** How an immutable tag may be created. */
export interface Creation {
  /** Must hold at the time of the write. */
  readonly conditions: Conditions;
  /** The rule that keeps the tag from then on. */
  readonly rule: string;
  /** Of the commit that this is. */
  readonly fence: Fence | undefined;
}

/** Tags that are created once, and then neither move nor go. */
export class ImmutableTags {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * Asserts that a push may point a tag at a manifest. A tag whose link is damaged, or whose manifest is gone, exists: it must
   * not get other content.
   * @returns whether it points there already
   * @throws TagImmutable
   */
  async assertPushable(name: RepositoryName, tag: Tag, digest: Digest, rule: string): Promise<boolean> {
    const link = await this.#resolve(name, tag, rule);
    if (link !== undefined && link.digest !== digest) throw new TagImmutable(tag, rule, 'push another tag');
    return link !== undefined;
  }

  async #resolve(name: RepositoryName, tag: Tag, rule: string): Promise<Link | undefined> {
    try {
      return await readLink(this.#store, tagLink(name, tag));
    } catch (error) {
      throw isDamage(error) ? new TagImmutable(tag, rule, damagedLink) : error;
    }
  }

  /**
   * Creates a tag, unless it points at the manifest already. A push that loses a race is judged by what the winner has pushed,
   * and leaves nothing in the history of the tag.
   * @throws TagImmutable
   * @throws RegistryError PRECONDITION_FAILED
   */
  async create(name: RepositoryName, tag: Tag, digest: Digest, creation: Creation): Promise<void> {
    try {
      for (let attempt = 1; attempt <= maxCreations; attempt++)
        if (await this.#tryCreate(name, tag, digest, creation)) return;
      // Something that is no object, such as a pipe in a folder.
      throw new TagImmutable(tag, creation.rule, damagedLink);
    } catch (error) {
      if (error instanceof TagImmutable) await this.#store.delete([tagIndexLink(name, tag, digest)]);
      throw error;
    }
  }

  /** @returns false if another writer was first */
  async #tryCreate(
    name: RepositoryName,
    tag: Tag,
    digest: Digest,
    { conditions, rule, fence }: Creation,
  ): Promise<boolean> {
    const isThere = await this.assertPushable(name, tag, digest, rule);
    if (isConditional(conditions)) assertConditions(conditions, isThere ? digest : undefined);
    if (isThere) return true;
    try {
      await writeLink(this.#store, tagLink(name, tag), digest, { onlyIfAbsent: true, fence });
      return true;
    } catch (error) {
      if (error instanceof PreconditionFailed) return false;
      throw error;
    }
  }
}

/** @throws TagImmutable */
export function assertDeletable(tag: Tag, immutable: Immutable | undefined): void {
  const rule = immutable?.(tag);
  if (rule !== undefined) throw new TagImmutable(tag, rule, 'it cannot be deleted');
}

/**
 * What two first pushes of an immutable tag can come to on a store, for the log at start.
 * @returns undefined if exactly one of them succeeds
 */
export function immutableTagsWarning({ honoursOnlyIfAbsent }: StoreLimits): string | undefined {
  if (honoursOnlyIfAbsent) return undefined;
  return (
    'this storage cannot create an object only if it is absent: two first pushes of an immutable tag at the same moment ' +
    'may both succeed, and the last one wins; let only one client at a time create a tag'
  );
}
