import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parsePolicy, parseStorageRules } from '../../../lib/access/policy/parse.ts';
import { runTests } from '../../../lib/access/policy/run-tests.ts';

const root = join(import.meta.dirname, '../../..');

/** The blocks of YAML in a page that have a section. */
function blocksWith(section: RegExp, page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)]
    .map(([, block = '']) => block)
    .filter((block) => section.test(block));
}

describe('the documentation', () => {
  for (const [page, count] of [
    ['docs/access.md', 2],
    ['docs/policy.md', 1],
  ] as const)
    it(`has policies in ${page} that are right, with tests that pass`, () => {
      const policies = blocksWith(/^rules:/m, page).map(parsePolicy);
      assert.equal(policies.length, count);
      for (const policy of policies)
        assert.deepEqual(
          runTests(policy).filter(({ passed }) => !passed),
          [],
        );
    });

  it('has rules in docs/retention.md that are right', () => {
    const [rules, cache, ...others] = blocksWith(/^retention:/m, 'docs/retention.md').map(parseStorageRules);
    assert.deepEqual([rules?.retention.length, rules?.quotas.length, others], [3, 2, []]);
    assert.equal(cache?.retention[0]?.keep.sizeBytes, 100e9);
  });
});
