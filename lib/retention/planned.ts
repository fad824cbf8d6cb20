import type { RetentionRule } from '../access/policy/storage-rules.ts';
import { inParallel } from '../concurrency/in-parallel.ts';
import { plannedRule } from '../registry/layout.ts';
import { exists } from '../registry/links.ts';
import type { ObjectStore } from '../storage/store.ts';
import { fingerprintsOf } from './fingerprints.ts';

/** Concurrent requests. */
const parallel = 16;

/** Whether anything may go by a rule, so that it must be planned first. */
export function removes(rule: RetentionRule): boolean {
  return removesTags(rule) || rule.untaggedAfterMs !== undefined;
}

/** Whether tags may go by a rule. */
export function removesTags({ deletesOthers, expiresByLabel }: RetentionRule): boolean {
  return deletesOthers || expiresByLabel;
}

/** Records that people have seen what rules would remove. */
export async function recordPlanned(store: ObjectStore, rules: readonly RetentionRule[]): Promise<void> {
  const fingerprints = fingerprintsOf(rules);
  const bytes = Buffer.from(`${JSON.stringify({ version: 1 })}\n`);
  await inParallel(rules.filter(removes), parallel, async (rule) => {
    await store.put(plannedRule(fingerprints.get(rule)?.rule ?? ''), bytes);
  });
}

/** The rules that were planned as they are now, or need not be. */
export async function readPlanned(
  store: ObjectStore,
  rules: readonly RetentionRule[],
): Promise<ReadonlySet<RetentionRule>> {
  const fingerprints = fingerprintsOf(rules);
  const planned = await inParallel(
    rules,
    parallel,
    async (rule) => !removes(rule) || (await exists(store, plannedRule(fingerprints.get(rule)?.rule ?? ''))),
  );
  return new Set(rules.filter((_, i) => planned[i]));
}
