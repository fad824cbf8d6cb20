import {
  assertConditions,
  isConditional,
  preconditionFailed,
  type Conditions,
} from '../protocol/conditions.ts';
import { digestOrUndefined, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import { isTag, parseTag, type Tag } from '../protocol/tags.ts';
import {
  PreconditionFailed,
  type Fence,
  type Listing,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
} from '../storage/store.ts';
import {
  parseTagIndexLink,
  repositoryPrefix,
  revisionLink,
  tagIndexDelimiter,
  tagLink,
  tagLinkSuffix,
  tagsPrefix,
} from './layout.ts';
import { inParallel } from '../concurrency/in-parallel.ts';
import { assertDeletable } from './immutable-tags.ts';
import type { Immutable, NamePage, RegistryLister } from './interface.ts';
import {
  exists,
  isDamage,
  undefinedIfDamaged,
  existsUndamaged,
  readLink,
  showsDigest,
  writeLink,
  type Link,
} from './links.ts';
import { listObjects } from './list-objects.ts';
import { namesInOrder } from './name-order.ts';
import type { DeletedTag } from './undo/records.ts';

/** Concurrent reads of tag links. */
const parallelReads = 32;

type TagLister = RegistryLister['tags'];

/** How a tag is moved. */
export interface Move {
  /** Must hold at the time of the write; without conditional writes, they are checked just before. */
  readonly conditions: Conditions;
  /** Of the commit that this is. */
  readonly fence: Fence | undefined;
}

/** The tags of repositories. */
export class Tags implements TagLister {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async list(name: RepositoryName, page: Page): Promise<NamePage> {
    if (page.last !== '') parseTag(page.last);
    const tags = await this.#page(tagsPrefix(name), page);
    if (tags.names.length === 0) await this.#assertRepository(name);
    return tags;
  }

  async #page(prefix: string, page: Page): Promise<NamePage> {
    const { n, last } = page;
    if (this.#store.listNames !== undefined && n > 0) {
      // One more tells whether a page follows.
      const names = await this.#store.listNames(prefix, { isName: isTag, after: last, limit: n + 1 });
      return { names: names.slice(0, n), more: names.length > n };
    }
    const keys = {
      prefix,
      suffix: tagLinkSuffix,
      delimiter: tagIndexDelimiter,
      // The link and the prefix of the history.
      entriesPerName: 2,
      isName: isTag,
      entries: ({ objects }: Listing) => objects.map(({ key }) => key),
      exists: async (tag: string) => await existsUndamaged(this.#store, `${prefix}${tag}${tagLinkSuffix}`),
    };
    return await namesInOrder(this.#store, keys, page);
  }

  /**
   * What a tag points at; undefined if there is no such tag.
   * @throws RegistryError UNKNOWN if its link is damaged
   */
  async resolve(name: RepositoryName, tag: Tag): Promise<Link | undefined> {
    return await readLink(this.#store, tagLink(name, tag));
  }

  /**
   * The manifest a tag points at; undefined also if that is gone, as distribution leaves it.
   * @throws RegistryError PRECONDITION_FAILED if its link is damaged
   */
  async current(name: RepositoryName, tag: Tag): Promise<Digest | undefined> {
    return await this.#pointsTo(name, await this.#resolveConditionally(name, tag));
  }

  /** No condition holds for a tag whose link is damaged. An unconditional push repairs it. */
  async #resolveConditionally(name: RepositoryName, tag: Tag): Promise<Link | undefined> {
    try {
      return await this.resolve(name, tag);
    } catch (error) {
      throw isDamage(error) ? preconditionFailed() : error;
    }
  }

  async #pointsTo(name: RepositoryName, link: Link | undefined): Promise<Digest | undefined> {
    if (link === undefined || !(await exists(this.#store, revisionLink(name, link.digest)))) return undefined;
    return link.digest;
  }

  /**
   * Points a tag at a manifest.
   * @throws RegistryError PRECONDITION_FAILED
   */
  async move(name: RepositoryName, tag: Tag, digest: Digest, { conditions, fence }: Move): Promise<void> {
    const guard = isConditional(conditions) ? await this.#guard(name, tag, conditions) : {};
    try {
      await writeLink(this.#store, tagLink(name, tag), digest, { ...guard, fence });
    } catch (error) {
      throw error instanceof PreconditionFailed ? preconditionFailed() : error;
    }
  }

  /** @returns the conditions under which the link is still the one that was checked */
  async #guard(name: RepositoryName, tag: Tag, conditions: Conditions): Promise<PutOptions> {
    const link = await this.#resolveConditionally(name, tag);
    assertConditions(conditions, await this.#pointsTo(name, link));
    return link === undefined ? { onlyIfAbsent: true } : { ifMatch: link.etag };
  }

  /** All keys of a tag; undefined if there is no such tag. Includes keys below that of its link, which do not belong there. */
  async find(name: RepositoryName, tag: Tag): Promise<StoredTag | undefined> {
    const link = tagLink(name, tag);
    const listed = Array.fromAsync(
      listObjects(this.#store, `${tagsPrefix(name)}${tag}/`, { skipUnreadable: true }),
    );
    // Lists of stores without conditional writes may lag (Swift), and name a link that is gone.
    const asked = this.#store.limits.honoursOnlyIfAbsent ? undefined : exists(this.#store, link);
    const [objects, exact] = await Promise.all([listed, asked]);
    const etag = objects.find(({ key }) => key === link)?.etag;
    const isTag = exact ?? (etag !== undefined || (await exists(this.#store, link)));
    if (!isTag && !objects.some(({ key }) => key.startsWith(`${link}/`))) return undefined;
    return { tag, link, etag, history: objects.filter(({ key }) => key !== link) };
  }

  /**
   * The tags that currently point at a manifest, to delete them.
   * @throws TagImmutable if one of them is, or is damaged and has pointed there
   */
  async pointingAt(name: RepositoryName, digest: Digest, immutable?: Immutable): Promise<StoredTag[]> {
    const tags = await this.stored(name);
    const pointing = await inParallel(
      tags,
      parallelReads,
      async (tag) => await this.#pointsAt(tag, digest, immutable),
    );
    const found = tags.filter((_, i) => pointing[i]);
    for (const { tag } of found) assertDeletable(tag, immutable);
    return found;
  }

  /**
   * Deletes a tag in one request. An interruption may leave its link without its history, on which nothing depends and which
   * the next push restores, or the history without the link, which is no tag.
   */
  async deleteAtOnce({ link, history }: StoredTag, fence: Fence | undefined): Promise<void> {
    await this.#store.delete([link, ...history.map(({ key }) => key)], { fence, isCommit: true });
  }

  /**
   * Deletes tags. Links go first, so that an interruption leaves no tag without a history. A concurrent push may point a
   * tag at a manifest again before its history is deleted; {@link pointingAt} does not depend on the history, and the next
   * push restores it.
   * @param afterwards keys to delete after the links
   */
  async delete(
    tags: readonly StoredTag[],
    {
      afterwards = [],
      fence,
    }: { readonly afterwards?: readonly string[]; readonly fence?: Fence | undefined },
  ): Promise<void> {
    const options = { fence, isCommit: true };
    const rest = [...tags.flatMap(({ history }) => history.map(({ key }) => key)), ...afterwards];
    if (tags.length > 0)
      await this.#store.delete(
        tags.map(({ link }) => link),
        options,
      );
    if (rest.length > 0) await this.#store.delete(rest, options);
  }

  async #pointsAt(tag: ListedTag, digest: Digest, immutable: Immutable | undefined): Promise<boolean> {
    if (showsDigest(tag, digest)) return true;
    const read = await this.target(tag);
    if (read !== undefined) return read === digest;
    // Gone or damaged. A damaged one that is immutable has what it was created with.
    const hasPointed = tag.history.some(({ key }) => digestOfHistoryKey(key) === digest);
    return hasPointed && immutable?.(tag.tag) !== undefined;
  }

  /**
   * What a tag points at; undefined if its link is damaged, or gone by now. Saves reading most links, whose ETag shows what they
   * hold. Others are read, also one that matches no entry of the history, which a concurrent delete may have removed.
   */
  async target(tag: StoredTag): Promise<Digest | undefined> {
    const { link, history } = tag;
    const pushed = history.find(({ key }) => showsDigest(tag, digestOfHistoryKey(key)));
    const digest = pushed && digestOrUndefined(digestOfHistoryKey(pushed.key));
    return digest ?? (await undefinedIfDamaged(this.#store, link, readLink(this.#store, link)))?.digest;
  }

  /** The immutable tags of a repository, and their manifests. Those with a damaged link are left out. */
  async immutable(name: RepositoryName, immutable: Immutable): Promise<PointingTag[]> {
    const tags = (await this.stored(name)).filter(({ tag }) => immutable(tag) !== undefined);
    const resolve = async ({ tag, link }: ListedTag) => {
      const found = await undefinedIfDamaged(this.#store, link, readLink(this.#store, link));
      return found === undefined ? [] : [{ tag, digest: found.digest }];
    };
    return (await inParallel(tags, parallelReads, resolve)).flat();
  }

  /** All tags of a repository that have a link, from one listing. */
  async stored(name: RepositoryName): Promise<ListedTag[]> {
    const prefix = tagsPrefix(name);
    const objects = await Array.fromAsync(listObjects(this.#store, prefix, { skipUnreadable: true }));
    const tagOf = ({ key }: ObjectInfo) => key.slice(prefix.length).split('/', 1)[0] ?? '';
    const history = Map.groupBy(
      objects.filter((object) => object.key.startsWith(`${prefix}${tagOf(object)}${tagIndexDelimiter}`)),
      tagOf,
    );
    return objects.flatMap(({ key, etag, lastModified }) => {
      const tag = key.slice(prefix.length, -tagLinkSuffix.length);
      const isLink = key.endsWith(tagLinkSuffix) && isTag(tag);
      return isLink ? [{ tag, link: key, history: history.get(tag) ?? [], etag, lastModified }] : [];
    });
  }

  /** A repository exists once it has any object, even after its last tag is deleted. */
  async #assertRepository(name: RepositoryName): Promise<void> {
    const { objects } = await this.#store.list({
      prefix: repositoryPrefix(name),
      limit: 1,
      skipUnreadable: true,
    });
    if (objects.length === 0) throw new RegistryError('NAME_UNKNOWN', undefined, [{ name }]);
  }
}

/** A tag and its manifest. */
export interface PointingTag {
  readonly tag: Tag;
  readonly digest: Digest;
}

/** The keys of a tag. */
export interface StoredTag {
  readonly tag: Tag;
  readonly link: string;
  /** Of the link; undefined if the listing lagged behind it. */
  readonly etag: string | undefined;
  /** Links to all manifests it has pointed at. */
  readonly history: readonly ObjectInfo[];
}

/** A tag, as a listing shows it. */
export interface ListedTag extends StoredTag {
  readonly etag: string;
  /** When its link was written last: the last push of what it points at. By the clock that dates objects. */
  readonly lastModified: Date;
}

/** What a tag points at and has pointed at, for the record of its delete. */
export function describeTag(
  name: RepositoryName,
  { tag, history }: StoredTag,
  digest: Digest | undefined,
): DeletedTag {
  const pushes = history.flatMap(({ key, lastModified }) => {
    const digest = parseTagIndexLink(name, tag, key);
    return digest === undefined ? [] : [{ digest, at: lastModified }];
  });
  return { tag, digest, history: pushes };
}

/** The digest in the key of a history link. */
function digestOfHistoryKey(key: string): string {
  return key.split('/').slice(-3, -1).join(':');
}
