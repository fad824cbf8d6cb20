import type { RetentionRule } from '../access/policy/storage-rules.ts';
import type { ObjectStore } from '../storage/store.ts';
import { readPlanned } from './planned.ts';
import { untaggedAfter, type UntaggedByRules } from './untagged.ts';

/**
 * When manifests without a tag may go, by the rules in force that were planned.
 * @param onUnplanned is told of each rule that says it and was not planned as it is
 * @returns undefined if no rule says it
 */
export async function untaggedByRules(
  store: ObjectStore,
  rules: readonly RetentionRule[],
  onUnplanned: (rule: RetentionRule) => void,
): Promise<UntaggedByRules | undefined> {
  const asking = rules.filter(({ untaggedAfterMs }) => untaggedAfterMs !== undefined);
  if (asking.length === 0) return undefined;
  const planned = await readPlanned(store, rules);
  for (const rule of asking) if (!planned.has(rule)) onUnplanned(rule);
  return untaggedAfter(rules, planned);
}
