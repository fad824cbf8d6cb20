import { countsPulls, ruleFor, type RetentionRule } from '../access/policy/storage-rules.ts';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { size } from '../protocol/sizes.ts';
import type { Tag } from '../protocol/tags.ts';
import type { Immutable } from '../registry/interface.ts';
import { revisionLink } from '../registry/layout.ts';
import { existsUndamaged } from '../registry/links.ts';
import { Tags, type ListedTag } from '../registry/tags.ts';
import type { ObjectStore } from '../storage/store.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import { assertOfCaches, CacheSizes, isCached, type Caches } from './cache-sizes.ts';
import { CachedImages, type Content } from './cached-images.ts';
import { decide, decideUntagged, type Verdict } from './decisions.ts';
import { Expiries } from './expiries.ts';
import { Pulls, pullsRecordedSince, recordedEveryMs } from './pulls.ts';

/** What retention works with. */
export interface RetentionContext {
  readonly store: ObjectStore;
  /** In force, in their order. */
  readonly rules: readonly RetentionRule[];
  /** What makes tags of a repository immutable; undefined where nothing does. */
  readonly immutable: (name: RepositoryName) => Immutable | undefined;
  /** Whether what labels say is kept in the bucket for the next run. */
  readonly keeps: boolean;
  /** By default there are none. */
  readonly caches?: Caches | undefined;
  /** Milliseconds since 1970 by the clock that dates objects. Tests move it. */
  readonly now?: () => number;
}

/** What becomes of a tag. */
export interface PlannedTag extends Verdict {
  readonly repository: RepositoryName;
  readonly tag: Tag;
  readonly rule: RetentionRule;
  readonly pushed: Date;
  /** Of the tag's link, by which a later push is noticed. */
  readonly etag: string;
}

/** A manifest of a cache that no tag would lead to any more, and that goes. */
export interface PlannedManifest extends Verdict {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly rule: RetentionRule;
}

/** Decides what becomes of tags, and of manifests of caches, and changes nothing. */
export class Plan {
  readonly #context: RetentionContext;
  readonly #tags: Tags;
  readonly #recordedSince: ReadonlyMap<RetentionRule, Date>;
  #sizes = CacheSizes.none;
  /** What the manifests of the last cache say. */
  #known: { readonly name: RepositoryName | undefined; readonly contents: Map<Digest, Content> } = {
    name: undefined,
    contents: new Map(),
  };

  private constructor(context: RetentionContext, recordedSince: ReadonlyMap<RetentionRule, Date>) {
    this.#context = context;
    this.#tags = new Tags(context.store);
    this.#recordedSince = recordedSince;
  }

  /**
   * @param isOver whether it takes too long to look at caches for rules with a size: then those remove nothing
   * @throws Error if a rule with a size is about other repositories than caches
   */
  static async open(context: RetentionContext, isOver: () => boolean = () => false): Promise<Plan> {
    const { store, rules, caches } = context;
    assertOfCaches(rules, caches?.prefixes ?? []);
    const plan = new Plan(context, await pullsRecordedSince(store, rules));
    if (caches !== undefined) await plan.#sum(caches, isOver);
    return plan;
  }

  /** Rules with a size that remove nothing, since it took too long to look at their caches. */
  get unsummed(): readonly RetentionRule[] {
    return this.#summed.filter((rule) => this.#sizes.since(rule) === undefined);
  }

  /** The rule about a repository. */
  ruleFor(name: RepositoryName): RetentionRule | undefined {
    return ruleFor(this.#context.rules, name);
  }

  /**
   * All tags of a repository, in the order of their names.
   * @throws StoreUnavailable
   */
  async of(name: RepositoryName, rule: RetentionRule): Promise<readonly PlannedTag[]> {
    const { store, keeps } = this.#context;
    const immutable = this.#context.immutable(name);
    const stored = await this.#tags.stored(name);
    const byTag = new Map(stored.map((one) => [one.tag, one]));
    const target = async (tag: Tag): Promise<Digest | undefined> => {
      const one = byTag.get(tag);
      return one && (await this.#tags.target(one));
    };
    const pulls = countsPulls(rule) ? await Pulls.read(store, name) : undefined;
    const expiries = rule.expiresByLabel ? await Expiries.open(store, name) : undefined;
    const images = this.#evicts(name, rule) && pulls ? await this.#images(name, stored, pulls) : undefined;
    const verdicts = await decide(
      rule,
      stored.map(({ tag, lastModified }) => ({ tag, pushed: lastModified })),
      {
        immutable: (tag) => immutable?.(tag),
        target,
        exists: async (digest) => await existsUndamaged(store, revisionLink(name, digest)),
        pulled: (tag, digest) => pulls?.last(tag, digest),
        recordedSince: this.#recordedSince.get(rule),
        keptBySize: (digest) => this.#keptBySize(name, rule, images?.lastUse(digest)),
        expiry: async (digest) => await expiries?.of(digest),
        now: this.#now,
      },
    );
    if (keeps) await expiries?.save();
    return stored.map(({ tag, lastModified, etag }, i) => ({
      ...(verdicts[i] ?? { removes: false, reason: '' }),
      ...{ repository: name, tag, rule, pushed: lastModified, etag },
    }));
  }

  /**
   * The manifests of a cache that go by the size of its rule, since no tag leads to them that stays.
   * @param gone tags that are there, and go
   * @throws StoreUnavailable
   */
  async untagged(
    name: RepositoryName,
    rule: RetentionRule,
    gone: ReadonlySet<Tag> = new Set(),
  ): Promise<readonly PlannedManifest[]> {
    if (!this.#evicts(name, rule)) return [];
    const pulls = await Pulls.read(this.#context.store, name);
    const images = await this.#images(name, await this.#tags.stored(name), pulls);
    const now = this.#now;
    return images.untagged(gone).flatMap(({ digest, pushed, used }) => {
      const verdict = decideUntagged(rule, { pushed, used, now }, this.#keptBySize(name, rule, used));
      return verdict.removes ? [{ ...verdict, repository: name, digest, rule }] : [];
    });
  }

  /** Rules whose caches are looked at. */
  get #summed(): readonly RetentionRule[] {
    return this.#context.rules.filter(
      (rule) => rule.keep.sizeBytes !== undefined && rule.deletesOthers && !this.#isNew(rule),
    );
  }

  async #sum(caches: Caches, isOver: () => boolean): Promise<void> {
    const summed = new Set(this.#summed);
    this.#sizes = await CacheSizes.sum(
      [...summed],
      caches,
      async (name) => {
        const rule = this.ruleFor(name);
        if (rule === undefined || !summed.has(rule) || !isCached(name, caches)) return undefined;
        const pulls = await Pulls.read(this.#context.store, name);
        return { rule, images: await this.#images(name, await this.#tags.stored(name), pulls) };
      },
      isOver,
    );
  }

  /** Whether anything may go from a repository by the size of its rule. */
  #evicts(name: RepositoryName, rule: RetentionRule): boolean {
    const { caches } = this.#context;
    const since = this.#sizes.since(rule);
    return caches !== undefined && isCached(name, caches) && since !== undefined && since !== -Infinity;
  }

  /** Why the size of a rule keeps something; undefined if it does not. @param used its last use */
  #keptBySize(name: RepositoryName, rule: RetentionRule, used: Date | undefined): string | undefined {
    const { caches } = this.#context;
    if (caches === undefined || !isCached(name, caches)) return 'it is in no cache, so no size removes it';
    if (this.#isNew(rule)) return 'pulls are not recorded for a day yet';
    const since = this.#sizes.since(rule);
    if (since === undefined) return 'what was used last is not known';
    return since === -Infinity || (used?.getTime() ?? -Infinity) >= since
      ? `among the ${size(rule.keep.sizeBytes ?? 0)} that were used last`
      : undefined;
  }

  /** Whether pulls are recorded for less than a day: so often is a record written at most. */
  #isNew(rule: RetentionRule): boolean {
    const since = this.#recordedSince.get(rule);
    return since === undefined || this.#now.getTime() - since.getTime() < recordedEveryMs;
  }

  async #images(name: RepositoryName, stored: readonly ListedTag[], pulls: Pulls): Promise<CachedImages> {
    if (this.#known.name !== name) this.#known = { name, contents: new Map() };
    return await CachedImages.read(
      this.#context.store,
      name,
      this.#tags,
      stored,
      pulls,
      this.#known.contents,
    );
  }

  /** By the clock that dates objects. */
  get #now(): Date {
    const { store, now } = this.#context;
    return new Date(now?.() ?? storeTimeMs(store));
  }
}
