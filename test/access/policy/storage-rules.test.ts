import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parsePolicy, parseStorageRules } from '../../../lib/access/policy/parse.ts';
import { PolicyError } from '../../../lib/access/policy/policy-error.ts';
import { StorageRulesSource } from '../../../lib/access/policy/source.ts';
import { ruleFor } from '../../../lib/access/policy/storage-rules.ts';
import { runStowage } from '../../infra/run-node.ts';
import { temporaryFolder } from '../../servers/folder.ts';

/** The faults of a file that says nothing about access, each as `line: message`. */
function faultsOf(text: string): string[] {
  try {
    parseStorageRules(text);
  } catch (error) {
    assert.ok(error instanceof PolicyError, String(error));
    return error.faults.map(({ line, message }) => `${line}: ${message}`);
  }
  return [];
}

const day = 24 * 3_600_000;

const example = `retention:
  - repositories: [team/**, base]
    tags: ["*", "!v*", v-next]
    keep: { newest: 10, pushedWithin: 36h, pulledWithin: 90d, size: 100 GB }
    untaggedAfter: 7d
    expires: label
    otherwise: delete
  - repositories: '**'
quotas:
  - { repositories: team/big, quota: 1.5 TB }
  - { repositories: team/**, quota: 500 MiB }
`;

describe('rules for retention and quotas', () => {
  it('are read as they are written, with defaults that keep everything', () => {
    const { retention, quotas } = parseStorageRules(example);
    const shown = retention.map(({ repositories, tags, ...rule }) => ({
      ...rule,
      repositories: repositories.map(({ text }) => text),
      tags: tags.map(({ pattern: { text }, excludes }) => ({ text, excludes })),
    }));
    assert.deepEqual(shown, [
      {
        label: 'retention 1',
        line: 2,
        repositories: ['team/**', 'base'],
        tags: [
          { text: '*', excludes: false },
          { text: 'v*', excludes: true },
          { text: 'v-next', excludes: false },
        ],
        keep: { newest: 10, pushedWithinMs: 1.5 * day, pulledWithinMs: 90 * day, sizeBytes: 1e11 },
        untaggedAfterMs: 7 * day,
        expiresByLabel: true,
        deletesOthers: true,
      },
      {
        label: 'retention 2',
        line: 8,
        repositories: ['**'],
        tags: [{ text: '*', excludes: false }],
        keep: {
          newest: undefined,
          pushedWithinMs: undefined,
          pulledWithinMs: undefined,
          sizeBytes: undefined,
        },
        untaggedAfterMs: undefined,
        expiresByLabel: false,
        deletesOthers: false,
      },
    ]);
    assert.deepEqual(
      quotas.map(({ label, line, bytes }) => ({ label, line, bytes })),
      [
        { label: 'quota 1', line: 10, bytes: 1.5e12 },
        { label: 'quota 2', line: 11, bytes: 500 * 1024 ** 2 },
      ],
    );
  });

  it('are in the policy as well, beside the rules of access', () => {
    const { content } = parsePolicy(`rules: []\n${example}`);
    assert.deepEqual(
      content.retention.map(({ line }) => line),
      [3, 9],
    );
    assert.equal(content.quotas[1]?.bytes, 500 * 1024 ** 2);
    const without = parsePolicy('rules: []').content;
    assert.deepEqual([without.retention, without.quotas], [[], []]);
  });

  it('are chosen by the first pattern that matches', () => {
    const { retention, quotas } = parseStorageRules(example);
    const labels = (
      rules: readonly { label: string; repositories: (typeof retention)[0]['repositories'] }[],
    ) => ['base', 'team/big', 'other'].map((name) => ruleFor(rules, name)?.label);
    assert.deepEqual(labels(retention), ['retention 1', 'retention 1', 'retention 2']);
    assert.deepEqual(labels(quotas), [undefined, 'quota 1', undefined]);
  });

  it('have every fault said at once, each with its line and a remedy', () => {
    assert.deepEqual(
      faultsOf(`rules: []
retention:
  - tags: ["!v*", "a/b", "!"]
    keep: {}
    untaggedAfter: 1h
    expire: label
  - repositories: Team
    keep: { newest: 0, pushedWithin: 1 week, pulledWithin: 53w, size: 5 }
    expires: "2w"
    otherwise: remove
  - { repositories: a, otherwise: delete }
  - x
quotas:
  - { repositories: a, quota: 50 }
  - { repositories: "\${user}/**", quota: 0 GB }
  - { quota: 5 Gb }
`),
      [
        '1: the policy has no key "rules"; the keys are retention, quotas',
        '3: retention 1 has no repositories',
        `3: tags of retention 1: "a/b" is not a valid pattern: it must not contain the character "/"`,
        '3: tags of retention 1: "!" is not a valid pattern: a pattern must follow the !',
        "3: tags of retention 1 begins with an exclusion, which excludes nothing there; begin with what the rule is about, as in ['*', '!v*']",
        '4: keep of retention 1 is empty; it can have newest, pushedWithin, pulledWithin and size',
        '5: untaggedAfter of retention 1 cannot be "1h"; it must be a time from 1d to 520w, such as 72h, 30d or 4w',
        '6: retention 1 has no key "expire"; did you mean expires?',
        '7: repositories of retention 2: "Team" is not a valid pattern: repository names are in lower case',
        '8: newest of keep of retention 2 cannot be "0"; it must be a number of tags from 1 to 100000, such as 10',
        '8: pushedWithin of keep of retention 2 cannot be "1 week"; it must be a time from 1h to 520w, such as 72h, 30d or 4w',
        '8: pulledWithin of keep of retention 2 cannot be "53w"; it must be a time from 1d to 52w, such as 72h, 30d or 4w',
        '8: size of keep of retention 2 cannot be "5"; it must be a size up to 5000 TB with its unit, such as 50 GB or 500 MiB',
        '9: expires of retention 2 cannot be "2w"; it can be label',
        '10: otherwise of retention 2 cannot be "remove"; it can be keep, delete',
        '11: retention 3 has otherwise: delete but no keep, so tags would go as soon as they are pushed; add keep, such as { pushedWithin: 1d }',
        '12: retention 4 must be a mapping (key: value)',
        '14: quota of quota 1 cannot be "50"; it must be a size up to 5000 TB with its unit, such as 50 GB or 500 MiB',
        '15: repositories of quota 2: "${user}/**" is not a valid pattern: ${user} is allowed in rules only',
        '15: quota of quota 2 cannot be "0 GB"; it must be a size up to 5000 TB with its unit, such as 50 GB or 500 MiB',
        '16: quota 3 has no repositories',
        '16: quota of quota 3 cannot be "5 Gb"; it must be a size up to 5000 TB with its unit, such as 50 GB or 500 MiB',
      ],
    );
  });

  for (const tags of ["['*', !latest]", "['*', ! latest]", '[a, !b*]', '!v*'])
    it(`are refused where YAML would drop the exclamation mark: ${tags}`, () => {
      assert.deepEqual(faultsOf(`retention: [{ repositories: a, tags: ${tags} }]`).slice(0, 1), [
        "1: a value that begins with ! must be in quotes, as in '!v*'",
      ]);
    });

  for (const [what, text, fault] of [
    ['rules', `retention:\n${'- { repositories: a }\n'.repeat(10_001)}`, /^10002: .*10001 rules, more than/],
    ['quotas', `quotas:\n${'- { repositories: a, quota: 1 GB }\n'.repeat(10_001)}`, /^10002: .*10001 quotas/],
    [
      'patterns',
      `retention:\n- { repositories: a, tags: [${Array(20_001).fill('a').join()}] }`,
      /20000 patt/,
    ],
    ['bytes', '#'.repeat(1024 ** 2 + 1), /more than 1 MiB/],
  ] as const)
    it(`are limited: too many ${what}`, () => {
      assert.match(faultsOf(text).join('\n'), fault);
    });

  it('stay in force when their file breaks, and are missed with a reason before', async () => {
    const folder = await temporaryFolder('rules');
    try {
      const path = join(folder.path, 'rules.yaml');
      let now = Date.now();
      const problems: string[] = [];
      const source = StorageRulesSource.file(path, {
        now: () => now,
        onProblem: (message) => {
          problems.push(message);
        },
      });
      await assert.rejects(source.current(), /no valid rules for retention and quotas/);
      writeFileSync(path, example);
      now += 3000;
      assert.equal((await source.current()).retention.length, 2);
      writeFileSync(path, 'retention: [x]');
      now += 3000;
      assert.equal((await source.current()).retention.length, 2);
      assert.match(problems[0] ?? '', /rules\.yaml is missing; no tag is removed until it is fixed/);
      assert.match(problems[1] ?? '', /the last valid one stays in force:[^]*line 1: retention 1 must be/);
    } finally {
      folder.remove();
    }
  });

  it('are checked by stowage policy check, within a policy or alone', async () => {
    const folder = await temporaryFolder('rules');
    try {
      const path = join(folder.path, 'rules.yaml');
      const check = async (text: string) => {
        writeFileSync(path, text);
        return await runStowage(['policy', 'check', path]);
      };
      assert.deepEqual(await check(example), {
        code: 0,
        output: `${path} is valid, and says nothing about access: 2 rules for retention, 2 quotas\n`,
        errors: '',
      });
      const whole = await check(`rules: []\n${example}`);
      assert.match(
        whole.output,
        / 0 rules, 0 groups, 0 CI identities, 0 tests, 2 rules for retention, 2 quotas\n/,
      );
      const wrong = await check('quotas: [{ repositories: a, quota: 5 }]');
      assert.match(wrong.errors, /rules\.yaml:1: quota of quota 1 cannot be "5"/);
      assert.equal(wrong.code, 1);
    } finally {
      folder.remove();
    }
  });
});
