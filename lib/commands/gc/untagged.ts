import { openRules } from '../../compose-rules.ts';
import { readPlanned } from '../../retention/planned.ts';
import { untaggedAfter, type UntaggedByRules } from '../../retention/untagged.ts';
import type { ConfiguredStorage } from '../look.ts';
import { shownRule } from '../retention/report.ts';

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
  const asking = rules.filter(({ untaggedAfterMs }) => untaggedAfterMs !== undefined);
  if (asking.length === 0) return undefined;
  const planned = await readPlanned(store, rules);
  for (const rule of asking)
    if (!planned.has(rule))
      console.error(
        `${shownRule(rule)} was not planned as it is now, so its untaggedAfter takes nothing: look at stowage retention plan first`,
      );
  return untaggedAfter(rules, planned);
}
