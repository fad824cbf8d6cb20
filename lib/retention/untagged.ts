import { countsPulls, ruleFor, type RetentionRule } from '../access/policy/storage-rules.ts';

/** When manifests without a tag may go by rules, for garbage collection. */
export interface UntaggedByRules {
  /** Milliseconds; undefined if those of the repository stay. */
  readonly untagged: (repository: string) => number | undefined;
  readonly untaggedFrom: 'last tag';
  /** Whether pulls from a repository are recorded, and count. */
  readonly countsPulls: (repository: string) => boolean;
}

/**
 * When manifests without a tag may go, by the rules that were planned.
 * @param rules in force
 * @param planned those that were planned as they are
 */
export function untaggedAfter(
  rules: readonly RetentionRule[],
  planned: ReadonlySet<RetentionRule>,
): UntaggedByRules {
  const untagged = (repository: string) => {
    const rule = ruleFor(rules, repository);
    return rule !== undefined && planned.has(rule) ? rule.untaggedAfterMs : undefined;
  };
  const recordsPulls = (repository: string) => {
    const rule = ruleFor(rules, repository);
    return rule !== undefined && countsPulls(rule);
  };
  return { untagged, untaggedFrom: 'last tag', countsPulls: recordsPulls };
}
