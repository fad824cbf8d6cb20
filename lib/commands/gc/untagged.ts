import { shownRule } from '../../access/policy/storage-rules.ts';
import { openRules } from '../../compose-rules.ts';
import { untaggedByRules as byRules } from '../../retention/untagged-by-rules.ts';
import type { UntaggedByRules } from '../../retention/untagged.ts';
import type { ConfiguredStorage } from '../look.ts';

/**
 * When manifests without a tag may go, by the rules for retention that were planned; undefined if none says it. Those that were not
 * planned are named on standard error.
 * @throws RegistryError UNAVAILABLE if the rules are invalid
 */
export async function untaggedByRules({
  config,
  store,
}: ConfiguredStorage): Promise<UntaggedByRules | undefined> {
  if (config.retention === undefined) return undefined;
  const rules = (await (await openRules(config, store))?.current())?.retention ?? [];
  return await byRules(store, rules, (rule) => {
    console.error(
      `${shownRule(rule)} was not planned as it is now, so its untaggedAfter takes nothing: look at stowage retention plan first`,
    );
  });
}
