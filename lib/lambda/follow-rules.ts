import type { Logger } from 'pino';
import { shownRule, type RetentionRule } from '../access/policy/storage-rules.ts';
import { immutableTagsOf, openRules } from '../compose-rules.ts';
import type { Config } from '../config/config.ts';
import type { AlsoSees } from '../maintenance/collection/collection.ts';
import { QuotaCount } from '../maintenance/quotas/quota-count.ts';
import type { Registry } from '../registry/interface.ts';
import { QuotaRules } from '../registry/quotas/quota.ts';
import type { Applied } from '../retention/apply.ts';
import { cachesOf } from '../retention/cache-sizes.ts';
import { stepRetention } from '../retention/steps.ts';
import type { UntaggedByRules } from '../retention/untagged.ts';
import { untaggedByRules } from '../retention/untagged-by-rules.ts';
import { StoreUnavailable, type ObjectStore } from '../storage/store.ts';

/** Rules that are named in one error. */
const maxNamed = 10;

/** The registry that a job works on. */
export interface JobRegistry {
  readonly config: Pick<Config, 'auth' | 'retention' | 'upstreams'>;
  readonly store: ObjectStore;
  readonly registry: Pick<Registry, 'catalog' | 'manifests'>;
}

/** What the rules for retention and quotas ask of a collection. */
export interface Followed {
  /** When manifests without a tag may go. */
  readonly untagged: UntaggedByRules | undefined;
  readonly alsoSees: () => Promise<AlsoSees>;
  /** Why not all that they ask for is done. It is logged. */
  readonly failure: Error | undefined;
}

/**
 * Goes on with what the rules for retention remove, which begins once a day, and says what they ask of the collection. A failure must
 * not keep garbage, so it is returned. Without rules, manifests without a tag stay, and no quota is summed.
 * @param isOver whether to leave the rest to the next invocation
 */
export async function followRules(job: JobRegistry, isOver: () => boolean, log: Logger): Promise<Followed> {
  const { config, store } = job;
  let quotas = new QuotaRules([]);
  let untagged: Followed['untagged'];
  let failure: Error | undefined;
  try {
    const rules = await (await openRules(config, store))?.current();
    quotas = new QuotaRules(rules?.quotas ?? []);
    const retention = rules?.retention ?? [];
    if (retention.length > 0) failure = await applyRules(job, retention, isOver, log);
    // Those that were not planned are named once a day, when the rules are applied.
    untagged = await untaggedByRules(store, retention, () => undefined);
  } catch (error) {
    log.error({ err: error }, 'the rules for retention are not followed');
    failure = error as Error;
  }
  const alsoSees = async () => await countQuotas(store, quotas, log);
  return { untagged, alsoSees, failure };
}

/** @returns why not all is done that was to be done in this step */
async function applyRules(
  { config, store, registry }: JobRegistry,
  rules: readonly RetentionRule[],
  isOver: () => boolean,
  log: Logger,
): Promise<Error | undefined> {
  const audit = log.child({ audit: true }, { level: 'info' });
  const applied = await stepRetention({
    store,
    registry,
    rules,
    immutable: await immutableTagsOf(config, store),
    keeps: true,
    caches: cachesOf(config.upstreams, registry.catalog),
    isOver,
    onRemoved: (one) => {
      const { repository, rule, reason } = one;
      const what = 'tag' in one ? { tag: one.tag } : { digest: one.digest };
      const by = { actor: 'function:gc', command: 'retention apply' };
      audit.info({ ...by, repository, ...what, rule: shownRule(rule), reason }, 'granted');
    },
    onFailure: (what, error) => {
      log.error({ err: error, what }, 'it could not be looked at or removed by a rule for retention');
    },
  });
  if (applied === undefined) return undefined;
  const { removed, evicted, changed, failed, stoppedAfter } = applied;
  log.info(
    { removed, evicted, changed, failed },
    stoppedAfter === undefined
      ? 'the rules for retention are applied'
      : 'the next invocation goes on with the rules for retention',
  );
  return failureIn(applied, log);
}

/** What was not planned is told at the end, once a day. */
function failureIn({ failed, unplanned, stoppedAfter }: Applied, log: Logger): Error | undefined {
  if (failed > 0) return new Error(`${failed} tags or repositories could not be looked at or removed`);
  if (unplanned.length === 0 || stoppedAfter !== undefined) return undefined;
  const names = unplanned.slice(0, maxNamed).map(shownRule).join('; ');
  const more = unplanned.length > maxNamed ? `; and ${unplanned.length - maxNamed} more` : '';
  const problem =
    `rules for retention were not planned as they are now, or as the repositories of the rules before them are, so nothing is removed by ` +
    `them: look at stowage retention plan first (${names}${more})`;
  log.error(problem);
  return new Error(problem);
}

async function countQuotas(store: ObjectStore, quotas: QuotaRules, log: Logger): Promise<AlsoSees> {
  const visitor = await QuotaCount.begin(store, quotas);
  const finish = async () => {
    try {
      if (await visitor.writeSums()) return;
      log.warn('the quotas changed while their use was summed, so the next look sums it');
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      log.warn({ err: error }, 'what quotas use cannot be kept, so the registry goes on with what it knew');
    }
  };
  return { visitor, finish };
}
