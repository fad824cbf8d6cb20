/** Rules for retention, and what tests of them need. */
import { parseStorageRules } from '../../lib/access/policy/parse.ts';
import type { RetentionRule } from '../../lib/access/policy/storage-rules.ts';

export const day = 24 * 3_600_000;

/** The rules of the section `retention`, each in YAML's flow style. */
export function retentionRules(...rules: readonly string[]): readonly RetentionRule[] {
  return parseStorageRules(['retention:', ...rules.map((rule) => `  - ${rule}`)].join('\n')).retention;
}

export function retentionRule(rule: string): RetentionRule {
  const [first] = retentionRules(rule);
  if (first === undefined) throw new Error('no rule');
  return first;
}
