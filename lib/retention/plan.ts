import { ruleFor, type RetentionRule } from '../access/policy/storage-rules.ts';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';
import type { Immutable } from '../registry/interface.ts';
import { revisionLink } from '../registry/layout.ts';
import { existsUndamaged } from '../registry/links.ts';
import { Tags } from '../registry/tags.ts';
import type { ObjectStore } from '../storage/store.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import { decide, type Verdict } from './decisions.ts';
import { Expiries } from './expiries.ts';
import { Pulls, pullsRecordedSince } from './pulls.ts';

/** What retention works with. */
export interface RetentionContext {
  readonly store: ObjectStore;
  /** In force, in their order. */
  readonly rules: readonly RetentionRule[];
  /** What makes tags of a repository immutable; undefined where nothing does. */
  readonly immutable: (name: RepositoryName) => Immutable | undefined;
  /** Whether what labels say is kept in the bucket for the next run. */
  readonly keeps: boolean;
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

/** Decides what becomes of tags, and changes nothing. */
export class Plan {
  readonly #context: RetentionContext;
  readonly #tags: Tags;
  readonly #recordedSince: ReadonlyMap<RetentionRule, Date>;

  private constructor(context: RetentionContext, recordedSince: ReadonlyMap<RetentionRule, Date>) {
    this.#context = context;
    this.#tags = new Tags(context.store);
    this.#recordedSince = recordedSince;
  }

  static async open(context: RetentionContext): Promise<Plan> {
    return new Plan(context, await pullsRecordedSince(context.store, context.rules));
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
    const { store, now, keeps } = this.#context;
    const immutable = this.#context.immutable(name);
    const stored = await this.#tags.stored(name);
    const byTag = new Map(stored.map((one) => [one.tag, one]));
    const target = async (tag: Tag): Promise<Digest | undefined> => {
      const one = byTag.get(tag);
      return one && (await this.#tags.target(one));
    };
    const pulls = rule.keep.pulledWithinMs === undefined ? undefined : await Pulls.read(store, name);
    const expiries = rule.expiresByLabel ? await Expiries.open(store, name) : undefined;
    const verdicts = await decide(
      rule,
      stored.map(({ tag, lastModified }) => ({ tag, pushed: lastModified })),
      {
        immutable: (tag) => immutable?.(tag),
        target,
        exists: async (digest) => await existsUndamaged(store, revisionLink(name, digest)),
        pulled: (tag, digest) => pulls?.last(tag, digest),
        recordedSince: this.#recordedSince.get(rule),
        expiry: async (digest) => await expiries?.of(digest),
        now: new Date(now?.() ?? storeTimeMs(store)),
      },
    );
    if (keeps) await expiries?.save();
    return stored.map(({ tag, lastModified, etag }, i) => ({
      ...(verdicts[i] ?? { removes: false, reason: '' }),
      ...{ repository: name, tag, rule, pushed: lastModified, etag },
    }));
  }
}
