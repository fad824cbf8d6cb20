import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Pattern } from '../../../lib/access/policy/patterns.ts';
import { ruleFor, shownRule, type StorageRules } from '../../../lib/access/policy/storage-rules.ts';
import { withTtl } from '../../../lib/access/policy/ttl-rule.ts';

it('the rule of proxy.ttl comes after all others, and is the same as long as they are', async () => {
  const alone = withTtl(undefined, 3_600_000);
  const [rule, ...others] = (await alone.current()).retention;
  assert.ok(rule !== undefined && others.length === 0);
  assert.equal(shownRule(rule), 'REGISTRY_PROXY_TTL');
  assert.deepEqual(
    [rule.keep.pulledWithinMs, rule.untaggedAfterMs, rule.deletesOthers],
    [3_600_000, 3_600_000, true],
  );
  assert.equal((await alone.current()).retention, (await alone.current()).retention);
  const own = { ...rule, label: 'retention 1', line: 3, repositories: [new Pattern('team/**')] };
  let current: StorageRules = { retention: [own], quotas: [] };
  const both = withTtl({ current: async () => await Promise.resolve(current) }, 3_600_000);
  const { retention } = await both.current();
  assert.equal(ruleFor(retention, 'team/app'), own);
  assert.equal(ruleFor(retention, 'library/alpine')?.label, 'REGISTRY_PROXY_TTL');
  assert.equal((await both.current()).retention, retention);
  current = { retention: [], quotas: [] };
  assert.equal((await both.current()).retention.length, 1);
});
