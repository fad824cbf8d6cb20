import { createHash } from 'node:crypto';
import {
  assertConditions,
  isConditional,
  preconditionFailed,
  type Conditions,
} from '../protocol/conditions.ts';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import { isTag, parseTag, type Tag } from '../protocol/tags.ts';
import { PreconditionFailed, type ObjectStore, type PutOptions } from '../storage/store.ts';
import {
  repositoryPrefix,
  revisionLink,
  tagIndexDelimiter,
  tagIndexLink,
  tagLink,
  tagLinkSuffix,
  tagsPrefix,
} from './layout.ts';
import { inParallel } from '../concurrency/in-parallel.ts';
import type { NamePage, RegistryLister } from './interface.ts';
import {
  exists,
  isDamage,
  undefinedIfDamaged,
  existsUndamaged,
  readLink,
  writeLink,
  type Link,
} from './links.ts';
import { listObjects } from './list-objects.ts';
import { namesInOrder } from './name-order.ts';

/** Tags whose links are read at once. */
const parallelReads = 32;

type Lists = RegistryLister['tags'];

/** The tags of repositories. */
export class Tags implements Lists {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async list(name: RepositoryName, page: Page): Promise<NamePage> {
    if (page.last !== '') parseTag(page.last);
    const prefix = tagsPrefix(name);
    const tags = await namesInOrder(
      this.#store,
      {
        prefix,
        suffix: tagLinkSuffix,
        delimiter: tagIndexDelimiter,
        // Its link, and its past rolled up.
        entriesPerName: 2,
        isName: isTag,
        entries: ({ objects }) => objects.map(({ key }) => key),
        exists: async (tag) => await existsUndamaged(this.#store, `${prefix}${tag}${tagLinkSuffix}`),
      },
      page,
    );
    if (tags.names.length === 0) await this.#assertRepository(name);
    return tags;
  }

  /**
   * What a tag points at, or undefined when there is none.
   * @throws RegistryError UNKNOWN where its link is damaged: there is a tag, and nobody knows of what
   */
  async resolve(name: RepositoryName, tag: Tag): Promise<Link | undefined> {
    return await readLink(this.#store, tagLink(name, tag));
  }

  /**
   * The manifest that a tag has; undefined as well where it points at one that is gone, as distribution leaves it.
   * @throws RegistryError PRECONDITION_FAILED where its link is damaged
   */
  async current(name: RepositoryName, tag: Tag): Promise<Digest | undefined> {
    return await this.#pointsTo(name, await this.#resolveConditionally(name, tag));
  }

  /** No condition holds of a tag that is there with a damaged link; a push without any mends it. */
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

  /** Notes that a tag is about to point at a manifest, as distribution does before it moves the tag. */
  async recordHistory(name: RepositoryName, tag: Tag, digest: Digest): Promise<void> {
    await writeLink(this.#store, tagIndexLink(name, tag, digest), digest);
  }

  /**
   * Moves a tag.
   * @param conditions which hold when it moves; where the store has no conditional writes, when it is looked at just before
   * @throws RegistryError PRECONDITION_FAILED
   */
  async move(name: RepositoryName, tag: Tag, digest: Digest, conditions: Conditions): Promise<void> {
    const options = isConditional(conditions) ? await this.#guard(name, tag, conditions) : {};
    try {
      await writeLink(this.#store, tagLink(name, tag), digest, options);
    } catch (error) {
      throw error instanceof PreconditionFailed ? preconditionFailed() : error;
    }
  }

  /** @returns what the store is to hold against the link that the conditions were held against */
  async #guard(name: RepositoryName, tag: Tag, conditions: Conditions): Promise<PutOptions> {
    const link = await this.#resolveConditionally(name, tag);
    assertConditions(conditions, await this.#pointsTo(name, link));
    return link === undefined ? { onlyIfAbsent: true } : { ifMatch: link.etag };
  }

  /** All that there is of a tag, or undefined when there is none. What lies in the place of its link is of it as well. */
  async find(name: RepositoryName, tag: Tag): Promise<StoredTag | undefined> {
    const link = tagLink(name, tag);
    const below = listObjects(this.#store, `${tagsPrefix(name)}${tag}/`, { skipUnreadable: true });
    const [known, objects] = await Promise.all([exists(this.#store, link), Array.fromAsync(below)]);
    const keys = objects.map(({ key }) => key);
    if (!known && !keys.some((key) => key.startsWith(`${link}/`))) return undefined;
    return { link, history: keys.filter((key) => key !== link) };
  }

  /** The tags that point at a manifest now; not those that once did. */
  async pointingAt(name: RepositoryName, digest: Digest): Promise<StoredTag[]> {
    const tags = await this.#all(name);
    const pointing = await inParallel(tags, parallelReads, async (tag) => await this.#pointsAt(tag, digest));
    return tags.filter((_, i) => pointing[i]);
  }

  /**
   * Deletes tags. Their links go first, so that what is interrupted leaves no tag without a past. A push may still point a tag
   * anew before its past goes: it is found all the same, by {@link pointingAt}, and its past by its next push.
   * @param afterwards keys that go once no tag is left
   */
  async delete(tags: readonly StoredTag[], afterwards: readonly string[] = []): Promise<void> {
    const rest = [...tags.flatMap(({ history }) => history), ...afterwards];
    if (tags.length > 0) await this.#store.delete(tags.map(({ link }) => link));
    if (rest.length > 0) await this.#store.delete(rest);
  }

  /**
   * The ETag of what was written in one piece and without a key of KMS is the MD5 of its bytes. Where it is not, it says
   * nothing, and the link is read. The past is but a help in that: a delete may have taken it from a tag that was pushed
   * meanwhile.
   */
  async #pointsAt({ link, history, etag }: ListedTag, digest: Digest): Promise<boolean> {
    if (md5(digest) === etag) return true;
    if (history.some((key) => md5(digestOfPast(key)) === etag)) return false;
    return (await undefinedIfDamaged(this.#store, link, readLink(this.#store, link)))?.digest === digest;
  }

  /** Every tag of a repository that has a link, from one listing. */
  async #all(name: RepositoryName): Promise<ListedTag[]> {
    const prefix = tagsPrefix(name);
    const objects = await Array.fromAsync(listObjects(this.#store, prefix, { skipUnreadable: true }));
    const past = new Map<string, string[]>();
    for (const { key } of objects) {
      const [tag = ''] = key.slice(prefix.length).split('/', 1);
      if (!key.startsWith(`${prefix}${tag}${tagIndexDelimiter}`)) continue;
      const keys = past.get(tag) ?? [];
      keys.push(key);
      past.set(tag, keys);
    }
    return objects.flatMap(({ key, etag }) => {
      const tag = key.slice(prefix.length, -tagLinkSuffix.length);
      const isLink = key.endsWith(tagLinkSuffix) && isTag(tag);
      return isLink ? [{ link: key, history: past.get(tag) ?? [], etag }] : [];
    });
  }

  /** A repository is known once anything lies below it, and stays so after its last tag goes. */
  async #assertRepository(name: RepositoryName): Promise<void> {
    const { objects } = await this.#store.list({
      prefix: repositoryPrefix(name),
      limit: 1,
      skipUnreadable: true,
    });
    if (objects.length === 0) throw new RegistryError('NAME_UNKNOWN', undefined, [{ name }]);
  }
}

/** The keys of a tag. */
export interface StoredTag {
  readonly link: string;
  /** Links to what it has ever pointed at. */
  readonly history: readonly string[];
}

interface ListedTag extends StoredTag {
  /** Of the link. */
  readonly etag: string;
}

/** The digest that a link of a tag's past is named after. */
function digestOfPast(key: string): string {
  return key.split('/').slice(-3, -1).join(':');
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex');
}
