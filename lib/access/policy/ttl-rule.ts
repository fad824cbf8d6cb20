import { Pattern } from './patterns.ts';
import type { RetentionRule, RulesInForce, StorageRules } from './storage-rules.ts';

const nothing: StorageRules = { retention: [], quotas: [] };

/** Rules with one more, the last: what nobody has used for a while goes, as `proxy.ttl` says of a registry that is a cache. */
export function withTtl(rules: RulesInForce | undefined, ttlMs: number): RulesInForce {
  const rule = ruleOf(ttlMs);
  let last = { from: nothing, all: { ...nothing, retention: [rule] } };
  return {
    current: async () => {
      const from = (await rules?.current()) ?? nothing;
      // The same as before as long as they are, by which callers know that nothing has changed.
      if (last.from !== from) last = { from, all: { ...from, retention: [...from.retention, rule] } };
      return last.all;
    },
  };
}

function ruleOf(ttlMs: number): RetentionRule {
  return {
    label: 'REGISTRY_PROXY_TTL',
    line: 0,
    repositories: [new Pattern('**')],
    tags: [{ pattern: new Pattern('*'), excludes: false }],
    keep: { newest: undefined, pushedWithinMs: undefined, pulledWithinMs: ttlMs, sizeBytes: undefined },
    untaggedAfterMs: ttlMs,
    expiresByLabel: false,
    deletesOthers: true,
  };
}
