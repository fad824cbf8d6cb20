import { ruleFor, type RetentionRule } from '../access/policy/storage-rules.ts';

/**
 * When manifests without a tag may go, for garbage collection.
 * @param rules in force
 * @param planned those that were planned as they are
 * @returns milliseconds after the manifest was pushed; undefined if those of the repository stay
 */
export function untaggedAfter(
  rules: readonly RetentionRule[],
  planned: ReadonlySet<RetentionRule>,
): (repository: string) => number | undefined {
  return (repository) => {
    const rule = ruleFor(rules, repository);
    return rule !== undefined && planned.has(rule) ? rule.untaggedAfterMs : undefined;
  };
}
