import type { RetentionRule } from '../access/policy/storage-rules.ts';
import { inParallel } from '../concurrency/in-parallel.ts';
import { formatAge } from '../protocol/durations.ts';
import type { Digest } from '../protocol/digests.ts';
import { attachedTo } from '../protocol/referrers.ts';
import type { Tag } from '../protocol/tags.ts';
import type { Expiry } from './expiries.ts';
import { recordedEveryMs } from './pulls.ts';

/** What is known of a tag without reading it. */
export interface ListedTag {
  readonly tag: Tag;
  /** The last push of what it points at. */
  readonly pushed: Date;
}

/** What becomes of a tag, and why. */
export interface Verdict {
  readonly removes: boolean;
  /** For people. */
  readonly reason: string;
  /** Whether the manifest of a tag that is removed is gone, so that nobody can pull it. */
  readonly isDangling?: boolean;
}

/** How the rest is found out, which costs requests. */
export interface Facts {
  /** What makes a tag immutable, or undefined. */
  readonly immutable: (tag: Tag) => string | undefined;
  /** What the tag points at; undefined if its link is damaged, or gone by now. */
  readonly target: (tag: Tag) => Promise<Digest | undefined>;
  /** Whether the repository has a manifest. */
  readonly exists: (digest: Digest) => Promise<boolean>;
  /** The last pull. */
  readonly pulled: (tag: Tag, digest: Digest) => Date | undefined;
  /** From when on pulls are recorded; undefined if they are not. */
  readonly recordedSince: Date | undefined;
  /** Why the size of a rule keeps what a manifest needs; undefined if it does not. */
  readonly keptBySize: (digest: Digest) => string | undefined;
  readonly expiry: (digest: Digest) => Promise<Expiry | undefined>;
  /** By the clock that dates pushes. */
  readonly now: Date;
}

/** Tags about which facts are found out at the same time. */
const parallelTags = 16;

/**
 * What becomes of the tags of a repository by its rule. The order: what the rule is not about, what never goes, what `keep` keeps,
 * what expires, and the rest.
 * @returns the verdicts in the order of the tags
 */
export async function decide(
  rule: RetentionRule,
  tags: readonly ListedTag[],
  facts: Facts,
): Promise<readonly Verdict[]> {
  const excluded = new Map(tags.map(({ tag }) => [tag, exclusion(rule, tag, facts)]));
  const candidates = tags.filter(({ tag }) => excluded.get(tag) === undefined);
  const newest = new Set(newestOf(candidates, rule.keep.newest ?? 0));
  return await inParallel(tags, parallelTags, async (one) => {
    const early = excluded.get(one.tag);
    if (early !== undefined) return early;
    return newest.has(one)
      ? kept(`one of the ${rule.keep.newest} newest`)
      : await decideOne(rule, one, facts);
  });
}

/** Why a rule never removes a tag; undefined if it may. */
function exclusion(rule: RetentionRule, tag: Tag, { immutable }: Facts): Verdict | undefined {
  // A cache gets it again, and does not get it with the manifest.
  const isCached = rule.keep.sizeBytes !== undefined;
  if (attachedTo(tag) !== undefined && !isCached) return kept('belongs to the manifest that it names');
  if (!isAbout(rule, tag)) return kept('the rule is not about this tag');
  const why = immutable(tag);
  return why === undefined ? undefined : kept(`immutable: ${why}`);
}

/** Whether a rule is about a tag: the last pattern that matches decides. */
export function isAbout({ tags }: RetentionRule, tag: string): boolean {
  const last = tags.findLast(({ pattern }) => pattern.matches([tag]));
  return last !== undefined && !last.excludes;
}

/** The latest pushed; of those pushed at the same time, the first by name. */
function newestOf(tags: readonly ListedTag[], count: number): readonly ListedTag[] {
  return tags
    .toSorted((a, b) => b.pushed.getTime() - a.pushed.getTime() || (a.tag < b.tag ? -1 : 1))
    .slice(0, count);
}

async function decideOne(rule: RetentionRule, { tag, pushed }: ListedTag, facts: Facts): Promise<Verdict> {
  const { pushedWithinMs, pulledWithinMs } = rule.keep;
  const age = facts.now.getTime() - pushed.getTime();
  if (pushedWithinMs !== undefined && age <= pushedWithinMs)
    return kept(`pushed within ${formatAge(pushedWithinMs)}`);
  // A tag that nobody had the time to pull.
  if (pulledWithinMs !== undefined && age <= pulledWithinMs)
    return kept(`pushed within ${formatAge(pulledWithinMs)}, so perhaps not pulled yet`);
  const digest = await facts.target(tag);
  if (digest === undefined) return kept('it cannot be read; stowage verify says why');
  const pull = pulledWithinMs === undefined ? undefined : pullThatKeeps(pulledWithinMs, tag, digest, facts);
  if (pull !== undefined) return kept(pull);
  const use = rule.keep.sizeBytes === undefined ? undefined : facts.keptBySize(digest);
  if (use !== undefined) return kept(use);
  const expiry = rule.expiresByLabel ? await facts.expiry(digest) : undefined;
  if (expiry !== undefined && age > expiry.ms)
    return await removed(`expired ${expiry.text} after its push`, digest, facts);
  if (rule.deletesOthers) return await removed(nothingKeeps, digest, facts);
  return kept(expiry === undefined ? 'otherwise: keep' : `expires ${expiry.text} after its push`);
}

/**
 * What becomes of a manifest of a cache to which no tag leads. Labels do not count.
 * @param keptBySize why the size of the rule keeps it, if it does
 */
export function decideUntagged(
  rule: RetentionRule,
  { pushed, used, now }: { readonly pushed: Date; readonly used: Date; readonly now: Date },
  keptBySize: string | undefined,
): Verdict {
  const { pushedWithinMs = 0, pulledWithinMs } = rule.keep;
  const age = (time: Date) => now.getTime() - time.getTime();
  if (age(pushed) <= pushedWithinMs) return kept(`pushed within ${formatAge(pushedWithinMs)}`);
  if (pulledWithinMs !== undefined && age(used) <= pulledWithinMs + recordedEveryMs)
    return kept(`pulled within ${formatAge(pulledWithinMs)}`);
  if (keptBySize !== undefined) return kept(keptBySize);
  return rule.deletesOthers ? { removes: true, reason: nothingKeeps } : kept('otherwise: keep');
}

const nothingKeeps = 'nothing keeps it (otherwise: delete)';

function pullThatKeeps(withinMs: number, tag: Tag, digest: Digest, facts: Facts): string | undefined {
  const { now, recordedSince } = facts;
  const isWithin = (time: Date) => now.getTime() - time.getTime() <= withinMs + recordedEveryMs;
  const pulled = facts.pulled(tag, digest);
  if (pulled !== undefined && isWithin(pulled)) return `pulled within ${formatAge(withinMs)}`;
  if (recordedSince === undefined) return 'pulls are not recorded yet';
  return isWithin(recordedSince)
    ? `pulls are recorded since ${recordedSince.toISOString().slice(0, 10)} only, not for ${formatAge(withinMs)} yet`
    : undefined;
}

async function removed(reason: string, digest: Digest, facts: Facts): Promise<Verdict> {
  if (await facts.exists(digest)) return { removes: true, reason };
  return { removes: true, reason: `${reason}; its manifest is gone`, isDangling: true };
}

function kept(reason: string): Verdict {
  return { removes: false, reason };
}
