import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runStowage } from '../infra/run-node.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { example } from '../access/policy/policies.ts';

describe('the command stowage policy', () => {
  let folder: Folder;

  before(async () => {
    folder = await temporaryFolder('policy');
  });

  after(() => {
    folder.remove();
  });

  const file = (text: string): string => {
    const path = join(folder.path, 'policy.yaml');
    writeFileSync(path, text);
    return path;
  };

  const policy = async (...args: readonly string[]) => await runStowage(['policy', ...args]);

  it('says of a file that is right what it has, and exits with 0', async () => {
    const path = file(example);
    assert.deepEqual(await policy('check', path), {
      code: 0,
      output: `${path} is valid: 5 rules, 2 groups, 2 CI identities, 0 tests\n`,
      errors: '',
    });
  });

  it('prints each fault of a file as file:line: message, and exits with 1', async () => {
    const path = file('group: {}\nrules: []\nread-only: Archive');
    for (const subcommand of ['check', 'test'])
      assert.deepEqual(await policy(subcommand, path), {
        code: 1,
        output: '',
        errors:
          `${path}:1: the policy has no key "group"; did you mean groups?\n` +
          `${path}:3: read-only: "Archive" is not a valid pattern: repository names are in lower case\n`,
      });
  });

  it('says that a file is not there, and exits with 1', async () => {
    const { code, errors } = await policy('check', '/no/policy.yaml');
    assert.equal(errors, '/no/policy.yaml does not exist\n');
    assert.equal(code, 1);
  });

  const explain = async (as: string, action: string, repository: string, ...more: readonly string[]) =>
    await policy(
      'explain',
      file(example),
      ...['--as', as, '--action', action, '--repository', repository],
      ...more,
    );

  it('explains what is allowed by each rule up to the one that decides, and exits with 0', async () => {
    assert.deepEqual(await explain('alice', 'push', 'team/app', '--tag', 'v1'), {
      code: 0,
      output: `alice may push team/app:v1: rule 2 (releases)

  read-only                         pass   team/app matches none of archive/**
  rule 1 (nothing secret), line 25  pass   team/app matches none of team/secret/**
  rule 2 (releases), line 29        allow  it allows push to group:developers in team/**
  immutable-tags 1 (v*)             pass   team/app:v1 can be pushed while it does not exist
  3 more rules not evaluated
`,
      errors: '',
    });
  });

  it('explains what is denied, and exits with 1', async () => {
    for (const [args, lines] of [
      [
        ['bob', 'pull', 'team/secret'],
        [/^bob may not pull team\/secret: rule 1/, /deny {3}it denies pull to '\*' in team\/secret/],
      ],
      [['root', 'push', 'archive/x'], [/^root may not push archive\/x: read-only \(archive\/\*\*\)/]],
      [
        ['root', 'delete', 'team/app', '--tag', 'v1'],
        [
          /^root may not delete team\/app:v1: immutable-tags 1 \(v\*\)/,
          /allow {2}it allows delete to root/,
          /deny {3}team\/app:v1 cannot be moved or deleted/,
        ],
      ],
      [
        ['robot:ci-backup', 'pull', 'library/x'],
        [/^robot:ci-backup may not pull library\/x: robots.revoked/, /token without grants/],
      ],
      [
        ['ci:release', 'push', 'library/x'],
        [
          /not in root$/m,
          /ci:release is not a user, so \$\{user\} matches nothing/,
          /no rule +deny +no rule matches, so it is denied/,
        ],
      ],
      [['ci:gone', 'pull', 'library/x'], [/^ci:gone may not pull library\/x: ci \(no gone\)/]],
      [
        ['anonymous', 'list', 'library/hello'],
        [/^anonymous may not list/, /it applies to pull/],
      ],
      [
        ['*', 'push', 'team/app'],
        [/^\* may not push team\/app: no rule/, /\* is not in group:developers, ci:release/],
      ],
      [
        ['../x', 'push', 'x/app'],
        [/"\.\.\/x" cannot be a segment of a repository's name, so \$\{user\} matches nothing/],
      ],
    ] as const) {
      const { code, output, errors } = await explain(...(args as unknown as [string, string, string]));
      for (const line of lines) assert.match(output, line);
      assert.deepEqual([code, errors], [1, '']);
    }
  });

  it('runs the tests of a file, and exits with 1 where any fails', async () => {
    const tests = (expect: string) => `${example}
tests:
  - { as: alice, repository: team/app, action: push, tag: v1, expect: allow }
  - { as: alice, repository: team/app, action: push, tag: v1, exists: true, expect: ${expect} }
  - { as: robot:ci-backup, repository: library/x, action: pull, expect: deny }
  - { as: ci:release, repository: team/app, action: push, expect: allow }
  - { as: anonymous, repository: team/app, action: pull, expect: deny }
`;
    assert.deepEqual(await policy('test', file(tests('deny'))), {
      code: 0,
      output: '5 tests passed, 0 failed\n',
      errors: '',
    });
    const path = file(tests('allow'));
    assert.deepEqual(await policy('test', path), {
      code: 1,
      output: '4 tests passed, 1 failed\n',
      errors: `${path}:39: alice may not push team/app:v1 (which exists): immutable-tags 1 (v*); expected allow\n`,
    });
  });

  it('does not say that a file without tests passes', async () => {
    const path = file(example);
    assert.deepEqual(await policy('test', path), { code: 1, output: '', errors: `${path} has no tests\n` });
  });

  for (const [args, message] of [
    [[], 'say what to do; it is check, explain or test'],
    [['chek', 'x'], '"chek" is not a known argument; did you mean check?'],
    [['check'], 'stowage policy check needs the name of a policy file'],
    [['check', 'a', 'b'], '"b" is one argument too many'],
    [['check', 'a', '--as', 'x'], '--as is an option of stowage policy explain'],
    [['check', 'a', '--asx', 'x'], '"--asx" is not a known option; did you mean --as?'],
    [['explain', 'a', '--as', 'x'], 'stowage policy explain needs --as, --repository and --action'],
    [
      ['explain', 'a', '--as', 'x', '--action', 'psuh', '--repository', 'b'],
      '--action: "psuh" is not a known action; did you mean push?',
    ],
    [
      ['explain', 'a', '--as', 'x', '--action', 'push', '--repository', 'B'],
      '--repository: "B" is not a repository name',
    ],
    [
      ['explain', 'a', '--as', 'x', '--action', 'push', '--repository', 'b', '--tag', '-x y'],
      '--tag needs a value',
    ],
    [
      ['explain', 'a', '--as', 'group:x', '--action', 'push', '--repository', 'b'],
      '--as: "group:x" is not a valid caller; name one of its members',
    ],
    [
      ['explain', 'a', '--as', 'robot:', '--action', 'push', '--repository', 'b'],
      '--as: "robot:" is not a valid caller; it is alice, robot:NAME, ci:NAME or anonymous',
    ],
  ] as const)
    it(`refuses the arguments ${JSON.stringify(args.join(' '))} with exit code 2, and prints its usage`, async () => {
      const { code, output, errors } = await policy(...args);
      assert.ok(errors.startsWith(message), errors);
      assert.match(errors, /\n\nUsage: stowage policy check FILE\n/);
      assert.deepEqual([code, output], [2, '']);
    });
});
