import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';
import { PolicyError } from '../../../lib/access/policy/policy-error.ts';
import { runTests } from '../../../lib/access/policy/run-tests.ts';
import { example, rules, user } from './policies.ts';

/** The faults of a text, each as `line: message`. */
function faultsOf(text: string): string[] {
  try {
    parsePolicy(text);
  } catch (error) {
    assert.ok(error instanceof PolicyError, String(error));
    return error.faults.map(({ line, message }) => `${line}: ${message}`);
  }
  return [];
}

const github = 'https://token.actions.githubusercontent.com';

describe('a policy file', () => {
  it('has every fault said at once, each with its line', () => {
    const faults = faultsOf(`group: {}
groups:
  dev: [alice, group:other, "a*"]
  dev: bob
ci:
  release:
    issuer: http://ci.example.com
    audience:
    lifetime: 5m
read-only: [Archive/**, "\${user}/**"]
immutable-tags:
  - { tags: v** }
rules:
  - name: releases
    who: *
    repositories: [**, a**b, /x]
    allow: [pul, push]
    deny: pull
  - who: [dev, group:deb, robots:x, ci:relaese]
  - x
tests:
  - { as: authenticated, repository: Team, action: pushh, exists: maybe, expect: allowed }
`);
    assert.deepEqual(faults, [
      '1: the policy has no key "group"; did you mean groups?',
      '3: "group:other" is not a valid name: user names have no colon; the prefixes here are robot:, ci:',
      `3: "a*" is not a valid name: names are not patterns; write '*' for everybody`,
      '4: groups has dev twice',
      '7: issuer of ci release: "http://ci.example.com" is not an https URL without a query',
      '7: ci release has no claims',
      '8: audience of ci release is empty; it must be a text',
      '9: lifetime of ci release cannot be "5m"; it must be a time from 10m to 24h, such as 90m or 2h',
      '10: read-only: "Archive/**" is not a valid pattern: repository names are in lower case',
      '10: read-only: "${user}/**" is not a valid pattern: ${user} is allowed in rules only',
      '12: immutable-tags 1 has no repositories',
      '12: tags of immutable-tags 1: "v**" is not a valid pattern: tags have no segments; write * instead of **',
      '14: rule 1 has both allow and deny; make two rules of it',
      "15: a value that begins with * must be in quotes, as in '**'",
      "16: a value that begins with * must be in quotes, as in '**'",
      '16: repositories of rule 1: "a**b" is not a valid pattern: ** must be a whole segment, unlike in a**b',
      '16: repositories of rule 1: "/x" is not a valid pattern: it has an empty segment; remove the slash',
      '17: allow of rule 1 cannot be "pul"; did you mean pull?',
      '19: dev is a group; did you mean group:dev?',
      '19: there is no group:deb; did you mean dev?',
      '19: "robots:x" is not a valid name: user names have no colon; did you mean robot:?',
      '19: there is no ci:relaese; did you mean release?',
      '19: rule 2 has no repositories',
      '19: rule 2 has neither allow nor deny',
      '20: rule 3 must be a mapping (key: value)',
      '22: authenticated is not a user; it is allowed in who only',
      '22: action of test 1 cannot be "pushh"; did you mean push?',
      '22: exists of test 1 cannot be "maybe"; it can be true, false',
      '22: expect of test 1 cannot be "allowed"; did you mean allow?',
      '22: "Team" is not a repository name',
    ]);
  });

  it('has a message with all faults, and with the first hundred of more', () => {
    const text = `rules: []\nread-only:\n${'  - A\n  - ""\n'.repeat(150)}`;
    assert.throws(
      () => parsePolicy(text),
      ({ message, faults }: PolicyError) => {
        assert.match(message, /^The policy is invalid:\n {2}- line 3: read-only: "A" is not a valid pattern/);
        assert.match(message, /\n {2}- line 102: [^\n]*\n {2}- and 200 more$/);
        return faults.length === 300;
      },
    );
  });

  for (const [text, fault] of [
    ['', '1: the file is empty'],
    [' \n\n', '1: the file is empty'],
    ['# nothing but a comment', '1: the policy is empty; it must be a mapping (key: value)'],
    ['groups: {}', '1: the policy has no rules; if there are none, write rules: []'],
    ['- a', '1: the policy must be a mapping (key: value)'],
    ['rules: []\nx: \0', '2: this is not text: it contains the character "\\u0000"'],
    ['rules: []\n---\nrules: []', '2: a second document begins here (---); a policy has only one'],
    ['rules: []\nread-only: *a', "2: a value that begins with * must be in quotes, as in '**'"],
    [
      'rules: []\nread-only: &a',
      "2: anchors have no use here; a value that begins with & must be in quotes, as in '&a'",
    ],
    ['rules: []\nread-only: !x b', "2: a value that begins with ! must be in quotes, as in '!v*'"],
    ['rules: []\n? [a]\n: b', '2: a key of the policy must be a text'],
    ['rules: { a: b }', '1: rules must be a list'],
    ['rules: []\ngroups:\n  a: [[b]]', '3: an item of group a must be a text'],
    ['rules: []\nread-only: ["a", 1, ~]', '2: an item of read-only is empty; it must be a text'],
    [
      'rules: []\nread-only: ["\\u0007"]',
      '2: read-only: "\\u0007" is not a valid pattern: it must not contain the character "\\u0007"',
    ],
    ['rules: []\ngroups: { a: ["b\\nc"] }', '2: a user name must be one line of at most 255 characters'],
    [
      'rules:\n  - { name: "a\\nb", who: a, repositories: b, allow: pull }',
      '2: name of rule 1 must be one line of at most 100 characters',
    ],
    ['rules:\n  - { who: [], repositories: b, allow: pull }', '2: who of rule 1 is an empty list'],
    ['rules:\n  - { who: a, repositories: b, allow: }', '2: allow of rule 1 is empty; it must be a text'],
    ['rules:\n  - { who: a, repositories: b, allow: [] }', '2: allow of rule 1 is an empty list'],
    [
      'rules: []\ntests: [{ as: a, repository: b, action: push, exists: true, expect: deny }]',
      '2: test 1 has exists but no tag',
    ],
    [
      'rules: []\nrobots: { not-before: 2026-02-30 }',
      '2: not-before of robots cannot be "2026-02-30"; it must be a date, or a time with a zone: 2026-11-01 or 2026-11-01T00:00:00Z',
    ],
    [
      'rules: []\nrobots: { revoked: ["a b"] }',
      '2: "a b" is not a valid name of a robot: it must have 1 to 64 letters, digits, . _ and -, and begin with a letter or digit',
    ],
  ] as const)
    it(`is refused where it is ${JSON.stringify(text)}`, () => {
      assert.deepEqual(faultsOf(text), [fault]);
    });

  it('names the line of a ${user} that is not in quotes within brackets', () => {
    const [first] = faultsOf('rules:\n  - who: a\n    repositories: [team/**, ${user}/**]\n    allow: pull');
    assert.match(
      first ?? '',
      /^3: this is not YAML: .*; within \[ \] a pattern with \$\{user\} must be in quotes/,
    );
  });

  it('reads ${user} without quotes in a list of lines', () => {
    const policy = parsePolicy(
      'rules:\n  - who: "*"\n    repositories:\n      - ${user}/**\n    allow: pull',
    );
    assert.ok(policy.decide(user('alice'), 'pull', 'alice/app').allowed);
  });

  it('takes numbers, dates and truth values for the texts that they are written as', () => {
    const policy = rules('{ who: [1.0, true, 2026-01-01], repositories: 007, allow: pull }');
    for (const name of ['1.0', 'true', '2026-01-01'])
      assert.ok(policy.decide(user(name), 'pull', '007').allowed);
    for (const name of ['1', 'True']) assert.ok(!policy.decide(user(name), 'pull', '007').allowed);
  });

  it('may have sections, groups and lists of revoked robots that are empty', () => {
    const sections = ['groups', 'ci', 'robots', 'read-only', 'immutable-tags', 'rules', 'tests'];
    assert.deepEqual(faultsOf(sections.map((name) => `${name}:`).join('\n')), []);
    assert.deepEqual(faultsOf('rules: []\nread-only: []\ngroups: { a: [] }\nrobots: { revoked: [] }'), []);
    assert.deepEqual(faultsOf(example), []);
  });

  it('is not taken for a group where a user has the name of something that every object has', () => {
    assert.deepEqual(
      faultsOf("rules:\n  - { who: [constructor, __proto__], repositories: '**', allow: pull }"),
      [],
    );
    const [fault] = faultsOf("rules:\n  - { who: group:constructor, repositories: '**', allow: pull }");
    assert.equal(fault, '2: there is no group:constructor; define constructor below groups');
  });
});

describe('the example in docs/policy.md', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/policy.md'), 'utf8');
  const [, text = ''] = /^```yaml\n(.*?)^```$/ms.exec(page) ?? [];

  it('is right, and passes its tests', () => {
    const results = runTests(parsePolicy(text));
    assert.ok(results.length >= 3);
    assert.deepEqual(
      results.filter(({ passed }) => !passed),
      [],
    );
  });
});

describe('the identity of CI jobs in a policy file', () => {
  const ciFaults = (claims: string, issuer = github) =>
    faultsOf(`rules: []\nci:\n  x: { issuer: "${issuer}", audience: a, claims: ${claims} }`);

  for (const claims of [
    '{ ref: refs/heads/main }',
    '{ repository_owner: "*" }',
    '{ repository: "*/app" }',
    '{ repository: "**" }',
    '{ repository: ["octo/app", "o*/app"] }',
    '{ x: { repository_id: "1" } }',
  ])
    it(`is refused where anybody's job at a public issuer could have its claims: ${claims}`, () => {
      assert.match(
        ciFaults(claims).join(),
        /^3: ci x: every customer of .* add at least one of repository_id, repository_owner_id/,
      );
    });

  for (const claims of [
    '{ repository_id: "1" }',
    '{ repository: octo/*, ref: "**" }',
    '{ sub: repo:octo/app:* }',
  ])
    it(`may have claims that say whose jobs they are: ${claims}`, () => {
      assert.deepEqual(ciFaults(claims), []);
    });

  it('may have any claims at an issuer of its own, and at least one', () => {
    assert.deepEqual(ciFaults('{ ref: "*" }', 'https://gitlab.example.com'), []);
    assert.deepEqual(ciFaults('{}', 'https://gitlab.example.com'), ['3: claims of ci x has no claim']);
    for (const issuer of ['https://gitlab.com', 'https://agent.buildkite.com', 'https://accounts.google.com'])
      assert.match(ciFaults('{ ref: main }', issuer).join(), /every customer of/);
  });

  for (const issuer of [
    'http://a.example.com',
    'a.example.com',
    'https://a.example.com/?x',
    'https://u@a.example.com',
    'https://a b',
  ])
    it(`is refused with the issuer ${issuer}`, () => {
      assert.match(ciFaults('{ a: b }', issuer).join(), /is not an https URL without a query/);
    });
});

describe('the size of a policy file', () => {
  it('is 1 MiB at most', () => {
    const text = `rules: []\n${'#'.repeat(1024 ** 2 - 10)}`;
    assert.deepEqual(faultsOf(text), []);
    assert.deepEqual(faultsOf(`${text}#`), ['1: the policy has more than 1 MiB']);
  });

  it('is 10,000 rules and 20,000 patterns at most', () => {
    const many = (count: number, repositories: string) =>
      `rules:\n${Array.from({ length: count }, (_, i) => `- {who: u${i}, repositories: ${repositories}, allow: pull}\n`).join('')}`;
    assert.deepEqual(faultsOf(many(10_001, 'a')), ['10002: there are 10001 rules, more than 10000']);
    assert.deepEqual(faultsOf(many(3, `[${Array(6667).fill('a').join()}]`)), [
      '4: the policy has more than 20000 patterns',
    ]);
    const largest = parsePolicy(many(10_000, '[a, b]'));
    assert.ok(largest.decide(user('u9999'), 'pull', 'b').allowed);
  });

  for (const [what, text] of [
    ['lists', 'rules: []\nread-only: ' + '['.repeat(20_000)],
    ['mappings', 'rules: []\ngroups: ' + '{a: '.repeat(20_000)],
    ['lists of lines', 'rules: []\nread-only:\n  ' + '- '.repeat(20_000)],
  ] as const)
    it(`is bounded in depth: ${what}`, () => {
      assert.match(faultsOf(text).join('\n'), /nested too deeply|must be a text/);
    });

  for (const [what, line] of [
    ['braces', '}'],
    ['JSON log lines', '{"level":30,"msg":"request completed"}\n'],
    ['list items', '-\n'],
    ['empty lines', '\n'],
    ['unknown keys', 'k: x\n'],
    ['aliases', '*a\n'],
  ] as const)
    it(`is refused within three seconds with at most 1000 faults where it is 1 MiB of ${what}`, () => {
      const text = `${line.repeat(1024 ** 2 / line.length - 1)}a`;
      const before = process.cpuUsage();
      const faults = faultsOf(text);
      const { user: microseconds } = process.cpuUsage(before);
      assert.ok(faults.length > 0 && faults.length <= 1000);
      assert.ok(microseconds < 3_000_000, `took ${microseconds} µs`);
    });

  it('is 300,000 YAML tokens at most', () => {
    const text = (names: number) => `groups: { a: [${Array(names).fill('b').join()}] }\nrules: []`;
    assert.deepEqual(faultsOf(text(149_000)), []);
    assert.deepEqual(faultsOf(text(151_000)), ['1: the policy has more than 300000 YAML tokens up to here']);
  });

  it('is not multiplied by aliases', () => {
    const levels = Array.from({ length: 30 }, (_, i) => `  g${i + 1}: &g${i + 1} [*g${i}, *g${i}]`);
    const faults = faultsOf(['rules: []', 'groups:', '  g0: &g0 [a]', ...levels].join('\n'));
    assert.equal(faults.filter((fault) => fault.includes('begins with *')).length, 30);
  });
});
