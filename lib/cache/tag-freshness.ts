import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';
import type { Collections } from '../registry/collection/collections.ts';
import { ExpiringCache } from '../registry/expiring-cache.ts';
import { tagLink } from '../registry/layout.ts';
import { readLink, writeLink, type DatedLink } from '../registry/links.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import { PreconditionFailed, type ObjectStore } from '../storage/store.ts';

/** Times that a process remembers, and how long. Each takes some 200 bytes. */
const maxKnown = 20_000;
const knownMs = 24 * 3_600_000;

/**
 * When the upstream was last asked about a tag: the time of the tag's link, which is written again when the upstream still has what it
 * points at. So all instances and later processes see it, and no other object is needed. It costs one write when the upstream was asked,
 * and one read in each process that does not know the time.
 */
export class TagFreshness {
  readonly #store: ObjectStore;
  readonly #collections: Collections;
  /** Milliseconds since 1970 by the clock that dates objects. */
  readonly #asked = new ExpiringCache<string, number>({ ttlMs: knownMs, maxSize: maxKnown });

  constructor(store: ObjectStore, collections: Collections) {
    this.#store = store;
    this.#collections = collections;
  }

  /** Whether this process knows that the upstream was asked about a tag within a time in milliseconds. */
  isKnownFresh(name: RepositoryName, tag: Tag, freshnessMs: number): boolean {
    const asked = this.#asked.get(`${name}:${tag}`);
    return asked !== undefined && this.#isWithin(asked, freshnessMs);
  }

  /**
   * What a tag points at, as the bucket has it; undefined if there is no such tag.
   * @throws RegistryError UNKNOWN if its link is damaged
   */
  async look(name: RepositoryName, tag: Tag, freshnessMs: number): Promise<TagState | undefined> {
    const link = await readLink(this.#store, tagLink(name, tag));
    if (link === undefined) return undefined;
    const asked = link.lastModified.getTime();
    this.#asked.set(`${name}:${tag}`, asked);
    return { ...link, isFresh: this.#isWithin(asked, freshnessMs) };
  }

  /** Notes that the upstream was asked about a tag, which was then moved. */
  moved(name: RepositoryName, tag: Tag): void {
    this.#asked.set(`${name}:${tag}`, storeTimeMs(this.#store));
  }

  /** Notes that the upstream has the same under a tag, unless the tag has been moved or deleted here meanwhile. */
  async confirm(name: RepositoryName, tag: Tag, { digest, etag }: DatedLink): Promise<void> {
    try {
      await this.#collections.commit(async ({ fence }) => {
        await writeLink(this.#store, tagLink(name, tag), digest, { ifMatch: etag, fence });
      });
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
    }
    this.moved(name, tag);
  }

  /** A time in the future, as after a clock was set back, does not count. A second is the precision of some stores. */
  #isWithin(asked: number, ms: number): boolean {
    const age = storeTimeMs(this.#store) - asked;
    return age >= -futureMs && age < ms;
  }
}

/** How far clocks may differ, in milliseconds. */
const futureMs = 60_000;

export interface TagState extends DatedLink {
  readonly isFresh: boolean;
}
