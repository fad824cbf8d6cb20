import { shownRule, type RetentionRule } from '../access/policy/storage-rules.ts';
import { mapConcurrently } from '../concurrency/map-concurrently.ts';
import { entityTag } from '../protocol/conditions.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Registry } from '../registry/interface.ts';
import { tagLink } from '../registry/layout.ts';
import { readLink, undefinedIfMissing } from '../registry/links.ts';
import { ObjectUnreadable } from '../storage/store.ts';
import { Plan, type PlannedManifest, type PlannedTag, type RetentionContext } from './plan.ts';
import { forgetOtherRules } from './pulls.ts';
import { readPlanned, removesTags } from './planned.ts';

/** Concurrent deletes. */
const parallelDeletes = 8;

/** Repositories of a page. */
const pageSize = 1000;

/** Tags of a repository that are removed before it is asked again whether to stop. */
const batchSize = 1000;

export interface ApplyOptions extends RetentionContext {
  readonly registry: Pick<Registry, 'catalog' | 'manifests'>;
  /** Goes on after this repository. */
  readonly after?: string | undefined;
  /** Asked before each repository, and after each thousand tags that are removed of one, whether to stop there. */
  readonly isOver?: () => boolean;
  /** Called once a tag, or a manifest of a cache, is gone. */
  readonly onRemoved?: (removed: PlannedTag | PlannedManifest) => void;
  /** Called for what could not be done. The next run repeats it. */
  readonly onFailure?: (what: string, error: unknown) => void;
}

/** What was done. */
export interface Applied {
  /** Tags. */
  readonly removed: number;
  /** Manifests of caches to which no tag led. */
  readonly evicted: number;
  /** Tags that were pushed or deleted meanwhile, and were left so. */
  readonly changed: number;
  readonly failed: number;
  /** Rules that were not planned as they are now, so that nothing was removed by them. */
  readonly unplanned: readonly RetentionRule[];
  /** The last repository that is done, if it was stopped: `after` of the next run. */
  readonly stoppedAfter: string | undefined;
}

/**
 * Removes the tags that no rule keeps, as a client does: with a record that restores them. Nothing is removed by a rule that was
 * not planned. Interrupted, it is completed by another run.
 * @throws StoreUnavailable
 */
export async function applyRetention(options: ApplyOptions): Promise<Applied> {
  const { store, rules, registry, isOver = () => false, onFailure } = options;
  const planned = await readPlanned(store, rules);
  const unplanned = rules.filter((rule) => !planned.has(rule));
  const counts = { removed: 0, evicted: 0, changed: 0, failed: 0 };
  await forgetOtherRules(store, rules);
  const applies = (rule: RetentionRule) => removesTags(rule) && planned.has(rule);
  if (!rules.some(applies)) return { ...counts, unplanned, stoppedAfter: undefined };
  const plan = await Plan.open(options, isOver);
  for (const rule of plan.unsummed) {
    counts.failed += 1;
    onFailure?.(
      shownRule(rule),
      new Error('its caches have too much to be looked at in the time that is left'),
    );
  }
  let last = options.after ?? '';
  for (let more = true; more;) {
    const page = await registry.catalog.list({ n: pageSize, last });
    for (const name of page.names as readonly RepositoryName[]) {
      if (isOver()) return { ...counts, unplanned, stoppedAfter: last };
      const rule = plan.ruleFor(name);
      if (rule !== undefined && applies(rule))
        try {
          const doomed = (await plan.of(name, rule)).filter(({ removes }) => removes);
          for (let at = 0; at < doomed.length; at += batchSize) {
            if (at > 0 && isOver()) return { ...counts, unplanned, stoppedAfter: last };
            for await (const outcome of mapConcurrently(
              doomed.slice(at, at + batchSize),
              parallelDeletes,
              async (tag) => await remove(tag, options),
            ))
              counts[outcome] += 1;
          }
          // As it is now: what somebody has pulled meanwhile may have a tag.
          const evicted = await plan.untagged(name, rule);
          for await (const outcome of mapConcurrently(
            evicted,
            parallelDeletes,
            async (manifest) => await evict(manifest, options),
          ))
            counts[outcome] += 1;
        } catch (error) {
          if (!isOfOne(error)) throw error;
          counts.failed += 1;
          onFailure?.(name, error);
        }
      last = name;
    }
    more = page.more;
  }
  return { ...counts, unplanned, stoppedAfter: undefined };
}

type Outcome = 'removed' | 'evicted' | 'changed' | 'failed';

async function remove(planned: PlannedTag, options: ApplyOptions): Promise<Outcome> {
  const { repository, tag } = planned;
  try {
    if (!(await removeUnchanged(planned, options))) return 'changed';
    options.onRemoved?.(planned);
    return 'removed';
  } catch (error) {
    if (!isOfOne(error)) throw error;
    options.onFailure?.(`${repository}:${tag}`, error);
    return 'failed';
  }
}

/** Removes a manifest from a cache. A tag that has come to it since goes as well: both come again. */
async function evict(planned: PlannedManifest, { registry, ...options }: ApplyOptions): Promise<Outcome> {
  const { repository, digest } = planned;
  const immutable = options.immutable(repository);
  try {
    await registry.manifests.delete(
      repository,
      { kind: 'digest', digest },
      { ...(immutable && { immutable }) },
    );
    options.onRemoved?.(planned);
    return 'evicted';
  } catch (error) {
    if (error instanceof RegistryError && error.failure === 'MANIFEST_UNKNOWN') return 'changed';
    if (!isOfOne(error)) throw error;
    options.onFailure?.(`${repository}@${digest}`, error);
    return 'failed';
  }
}

/**
 * Removes a tag if nobody has pushed it since: not even the same image, which makes it new. Few stores delete on a condition, so it
 * is looked at just before.
 * @returns false if somebody has, or has deleted it
 */
async function removeUnchanged(
  { repository, tag, pushed, etag, isDangling = false }: PlannedTag,
  { store, registry, immutable }: ApplyOptions,
): Promise<boolean> {
  const key = tagLink(repository, tag);
  const [head, link] = await Promise.all([undefinedIfMissing(store.head(key)), readLink(store, key)]);
  // Headers have whole seconds where listings have milliseconds.
  const isLater = head !== undefined && head.lastModified.getTime() - pushed.getTime() >= 1000;
  if (head === undefined || link === undefined || head.etag !== etag || isLater) return false;
  const rule = immutable(repository);
  // A tag without its manifest is nothing that a condition could name.
  const conditions = isDangling
    ? { ifMatch: '', ifNoneMatch: '*' }
    : { ifMatch: entityTag(link.digest), ifNoneMatch: '' };
  try {
    await registry.manifests.delete(
      repository,
      { kind: 'tag', tag },
      { conditions, ...(rule === undefined ? {} : { immutable: rule }) },
    );
    return true;
  } catch (error) {
    const isChanged =
      error instanceof RegistryError &&
      (error.failure === 'MANIFEST_UNKNOWN' || error.failure === 'PRECONDITION_FAILED');
    if (isChanged) return false;
    throw error;
  }
}

/** Whether an error is about one tag or repository, so that the rest can go on. */
function isOfOne(error: unknown): boolean {
  return error instanceof RegistryError || error instanceof ObjectUnreadable;
}
