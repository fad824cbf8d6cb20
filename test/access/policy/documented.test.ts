import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';
import { runTests } from '../../../lib/access/policy/run-tests.ts';

const root = join(import.meta.dirname, '../../..');

/** The blocks of YAML in a page that have rules, and so are policies. */
function policiesIn(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)]
    .map(([, block = '']) => block)
    .filter((block) => /^rules:/m.test(block));
}

describe('the documentation', () => {
  for (const [page, count] of [
    ['docs/access.md', 2],
    ['docs/policy.md', 1],
  ] as const)
    it(`has policies in ${page} that are right, with tests that pass`, () => {
      const policies = policiesIn(page).map(parsePolicy);
      assert.equal(policies.length, count);
      for (const policy of policies)
        assert.deepEqual(
          runTests(policy).filter(({ passed }) => !passed),
          [],
        );
    });
});
