import { createHash } from 'node:crypto';
import type { RetentionRule } from '../access/policy/storage-rules.ts';

/** What tells whether rules are still the same. Both change with the repositories of the rules before, which take theirs first. */
export interface Fingerprints {
  /** Of all that a rule says. */
  readonly rule: string;
  /** Of the repositories that it is about. */
  readonly scope: string;
}

/** The fingerprints of each rule, in SHA-256. Comments, labels and lines do not count. */
export function fingerprintsOf(rules: readonly RetentionRule[]): ReadonlyMap<RetentionRule, Fingerprints> {
  const fingerprints = new Map<RetentionRule, Fingerprints>();
  let before = '';
  for (const rule of rules) {
    const repositories = rule.repositories.map(({ text }) => text);
    const scope = hash([before, repositories]);
    const { keep, untaggedAfterMs, expiresByLabel, deletesOthers } = rule;
    const { newest, pushedWithinMs, pulledWithinMs, sizeBytes } = keep;
    const tags = rule.tags.map(({ pattern, excludes }) => [pattern.text, excludes]);
    const said = [
      tags,
      newest,
      pushedWithinMs,
      pulledWithinMs,
      untaggedAfterMs,
      expiresByLabel,
      deletesOthers,
      // Only where there is one, so that rules which were planned before there was such a key stay planned.
      ...(sizeBytes === undefined ? [] : [sizeBytes]),
    ];
    fingerprints.set(rule, { scope, rule: hash([scope, said.map((one) => one ?? null)]) });
    before = scope;
  }
  return fingerprints;
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}
