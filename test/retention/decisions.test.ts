import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RetentionRule } from '../../lib/access/policy/storage-rules.ts';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { decide, isAbout, type Facts } from '../../lib/retention/decisions.ts';
import { fingerprintsOf } from '../../lib/retention/fingerprints.ts';
import { day, retentionRule, retentionRules } from './rules.ts';

const now = new Date('2026-11-27T12:00:00Z');
const digest = digestFrom('sha256', 'a'.repeat(64));

/** Facts of which tests give some. */
function factsOf(facts: Partial<Facts>): Facts {
  return {
    immutable: () => undefined,
    target: async () => await Promise.resolve(digest),
    exists: async () => await Promise.resolve(true),
    pulled: () => undefined,
    recordedSince: new Date(0),
    keptBySize: () => undefined,
    expiry: async () => {
      await Promise.resolve(undefined);
    },
    now,
    ...facts,
  };
}

/** The tags that go, of some that were pushed so many days ago. */
async function removed(
  rule: RetentionRule,
  ages: Readonly<Record<string, number>>,
  facts: Partial<Facts> = {},
): Promise<string[]> {
  const tags = Object.entries(ages).map(([tag, age]) => ({
    tag: parseTag(tag),
    pushed: new Date(now.getTime() - age * day),
  }));
  const verdicts = await decide(rule, tags, factsOf(facts));
  return tags.filter((_, i) => verdicts[i]?.removes).map(({ tag }) => tag);
}

const expiring = async () => await Promise.resolve({ text: '2d', ms: 2 * day });

describe('what becomes of a tag', () => {
  it('is decided by the last pattern that matches, as in .gitignore', () => {
    const rule = retentionRule(`{ repositories: a, tags: ["*", "!v*", v-next, "!latest"] }`);
    const about = (tag: string) => isAbout(rule, tag);
    assert.deepEqual(['pr-1', 'v1', 'v-next', 'latest', 'latest2'].map(about), [
      true,
      false,
      true,
      false,
      true,
    ]);
  });

  it('is to stay by default, whatever keep says', async () => {
    const rule = retentionRule('{ repositories: a, keep: { newest: 1, pushedWithin: 1d } }');
    assert.deepEqual(await removed(rule, { a: 900, b: 800 }), []);
  });

  it('is to go with otherwise: delete, unless anything keeps it', async () => {
    const rule = retentionRule(
      '{ repositories: a, keep: { newest: 1, pushedWithin: 30d, pulledWithin: 90d }, otherwise: delete }',
    );
    const pulled: Partial<Facts> = {
      pulled: (tag) => (tag === 'pulled' ? new Date(now.getTime() - 89 * day) : undefined),
    };
    const ages = { old: 100, pulled: 100, pushed: 29, newest: 1 };
    assert.deepEqual(await removed(rule, ages, pulled), ['old']);
  });

  it('counts only tags that the rule is about, and that may go, among the newest', async () => {
    const rule = retentionRule(
      `{ repositories: a, tags: ["*", "!latest"], keep: { newest: 1 }, otherwise: delete }`,
    );
    const facts: Partial<Facts> = { immutable: (tag) => (tag === 'v1' ? 'immutable-tags 1' : undefined) };
    const signature = `sha256-${'b'.repeat(64)}.sig`;
    const ages = { latest: 1, v1: 2, [signature]: 3, old: 4, older: 5 };
    assert.deepEqual(await removed(rule, ages, facts), ['older']);
  });

  it('is never to go if it is immutable, belongs to a manifest or cannot be read', async () => {
    const rule = retentionRule(
      '{ repositories: a, keep: { pushedWithin: 1d }, expires: label, otherwise: delete }',
    );
    const hex = 'c'.repeat(64);
    const ages = { [`sha256-${hex}`]: 9, [`sha256-${hex}.att`]: 9, [`sha256-${hex}.sbom`]: 9, v1: 9, x: 9 };
    const facts: Partial<Facts> = {
      expiry: expiring,
      immutable: (tag) => (tag === 'v1' ? 'immutable-tags 1' : undefined),
      target: async () => {
        await Promise.resolve(undefined);
      },
    };
    assert.deepEqual(await removed(rule, ages, facts), []);
  });

  it('is to go when its label says so, unless keep keeps it', async () => {
    const rule = retentionRule('{ repositories: a, keep: { newest: 1 }, expires: label }');
    assert.deepEqual(await removed(rule, { a: 3, b: 4, c: 1.9 }, { expiry: expiring }), ['a', 'b']);
    assert.deepEqual(await removed(rule, { a: 3, b: 4, c: 1.9 }), []);
    const alone = retentionRule('{ repositories: a, expires: label }');
    assert.deepEqual(await removed(alone, { a: 3, c: 1.9 }, { expiry: expiring }), ['a']);
  });

  it('is to stay for lack of pulls as long as these were not recorded, or it is younger', async () => {
    const rule = retentionRule('{ repositories: a, keep: { pulledWithin: 10d }, otherwise: delete }');
    const since = (days: number | undefined): Partial<Facts> => ({
      recordedSince: days === undefined ? undefined : new Date(now.getTime() - days * day),
    });
    const ages = { old: 100, young: 9 };
    assert.deepEqual(await removed(rule, ages, since(undefined)), []);
    // A record may be a day older than the last pull.
    assert.deepEqual(await removed(rule, ages, since(10.9)), []);
    assert.deepEqual(await removed(rule, ages, since(11.1)), ['old']);
  });

  it('is to go only if all that stay are younger, which more reasons never make fewer', async () => {
    const tag = fc.stringMatching(/^[a-c][a-c0-9]{0,3}$/);
    const ages = fc.dictionary(
      tag,
      fc.integer({ min: 0, max: 20 * 24 }).map((hours) => hours / 24),
      {
        minKeys: 1,
        noNullPrototype: true,
      },
    );
    await fc.assert(
      fc.asyncProperty(
        ages,
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 19 }),
        async (all, n, days) => {
          const within = retentionRule(
            `{ repositories: a, keep: { pushedWithin: ${days}d }, otherwise: delete }`,
          );
          const both = retentionRule(
            `{ repositories: a, keep: { newest: ${n}, pushedWithin: ${days}d }, otherwise: delete }`,
          );
          const [old, gone] = [await removed(within, all), await removed(both, all)];
          // More reasons keep more, and newest keeps n at least.
          assert.ok(gone.every((one) => old.includes(one)));
          const left = Object.keys(all).length - gone.length;
          assert.ok(left >= Math.min(n, Object.keys(all).length));
          // Whatever goes is older than whatever stays.
          const ageOf = (one: string) => all[one] ?? 0;
          const oldestLeft = Math.max(
            ...Object.keys(all)
              .filter((one) => !gone.includes(one))
              .map(ageOf),
          );
          assert.ok(gone.every((one) => ageOf(one) >= oldestLeft));
          // A second run removes nothing more.
          const rest = Object.fromEntries(Object.entries(all).filter(([one]) => !gone.includes(one)));
          assert.deepEqual(await removed(both, rest), []);
        },
      ),
    );
  });
});

describe('the fingerprint of a rule', () => {
  const prints = (...rules: readonly string[]) => {
    const parsed = retentionRules(...rules);
    return parsed.map((rule) => fingerprintsOf(parsed).get(rule));
  };
  const rule = '{ repositories: a/**, keep: { newest: 5, pushedWithin: 7d }, otherwise: delete }';

  it('is that of what it means, not of how it is written', () => {
    assert.deepEqual(
      prints(rule),
      prints(
        '{ otherwise: delete, keep: { pushedWithin: 168h, newest: "5" }, repositories: [a/**], tags: "*" } # x',
      ),
    );
  });

  for (const [what, other] of [
    ['another number', rule.replace('5', '6')],
    ['another pattern of tags', rule.replace('{ ', '{ tags: ["*", "!v*"], ')],
    ['an exclusion more', rule.replace('{ ', '{ tags: ["*", "!*"], ')],
    ['a label', rule.replace('{ ', '{ expires: label, ')],
    ['untagged manifests', rule.replace('{ ', '{ untaggedAfter: 7d, ')],
    ['otherwise: keep', rule.replace('delete', 'keep')],
  ] as const)
    it(`changes with ${what}, and its scope does not`, () => {
      const [[before], [after]] = [prints(rule), prints(other)];
      assert.notEqual(after?.rule, before?.rule);
      assert.equal(after?.scope, before?.scope);
    });

  it('changes with the repositories of an earlier rule, which takes them first, and no more of it', () => {
    const [, before] = prints('{ repositories: a/b }', rule);
    const [, same] = prints('{ repositories: a/b, expires: label }', rule);
    const [, after] = prints('{ repositories: a/c }', rule);
    assert.deepEqual(same, before);
    assert.notEqual(after?.rule, before?.rule);
    assert.notEqual(after?.scope, before?.scope);
    assert.notDeepEqual(prints(rule)[0], before);
  });
});
