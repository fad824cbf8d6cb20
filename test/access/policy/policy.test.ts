import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { actions, type Action, type Identity } from '../../../lib/access/access.ts';
import { ciIdentityOf } from '../../../lib/access/policy/claims.ts';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';
import { anonymous, ci, example, robot, rules, user } from './policies.ts';

const policy = parsePolicy(example);

describe('a policy', () => {
  for (const [identity, action, repository, allowed, rule] of [
    [user('alice'), 'push', 'team/app', true, 'rule 2 (releases)'],
    [user('alice'), 'push', 'alice/app', true, 'rule 2 (releases)'],
    [user('alice'), 'push', 'bob/app', false, 'no rule'],
    [user('alice'), 'delete', 'team/app', false, 'no rule'],
    [user('alice'), 'pull', 'team/secret/key', false, 'rule 1 (nothing secret)'],
    [user('root'), 'pull', 'team/secret', false, 'rule 1 (nothing secret)'],
    [user('root'), 'delete', 'team/app', true, 'rule 3'],
    [user('root'), 'push', 'archive/app', false, 'read-only (archive/**)'],
    [user('root'), 'delete', 'archive', false, 'read-only (archive/**)'],
    [user('root'), 'pull', 'archive/app', true, 'rule 3'],
    [user('carol'), 'pull', 'library/hello', true, 'rule 4'],
    [user('carol'), 'pull', 'carol/app', false, 'no rule'],
    [user('Alice'), 'pull', 'team/app', false, 'no rule'],
    [anonymous, 'pull', 'library/hello', true, 'rule 5'],
    [anonymous, 'list', 'library/hello', false, 'no rule'],
    [anonymous, 'pull', 'library/alpine', false, 'no rule'],
    [ci('release'), 'push', 'team/app', true, 'rule 2 (releases)'],
    [ci('release'), 'push', 'release/app', false, 'no rule'],
    [ci('cluster'), 'pull', 'library/alpine', true, 'rule 4'],
    [ci('removed'), 'pull', 'library/alpine', false, 'ci (no removed)'],
    [robot('builder'), 'push', 'team/app', true, 'rule 2 (releases)'],
    [robot('builder'), 'push', 'builder/app', false, 'no rule'],
    [robot('ci-backup'), 'pull', 'library/alpine', false, 'robots.revoked'],
    [
      robot('old', { issuedAt: Date.UTC(2026, 9) / 1000 }),
      'pull',
      'library/alpine',
      false,
      'robots.not-before',
    ],
  ] as const satisfies [Identity, Action, string, boolean, string][])
    it(`says ${allowed ? 'yes' : 'no'} by ${rule} to ${action} of ${repository} by ${identity.kind} ${'name' in identity ? identity.name : ''}`, () => {
      assert.deepEqual(policy.decide(identity, action, repository), { allowed, rule });
    });

  it('denies everything without rules', () => {
    for (const action of actions)
      assert.deepEqual(parsePolicy('rules: []').decide(user('alice'), action, 'app'), {
        allowed: false,
        rule: 'no rule',
      });
  });

  it('takes the first rule that names caller, repository and action, and none after it', () => {
    const first = rules(
      "{ who: alice, repositories: '**', deny: push }",
      "{ who: alice, repositories: '**', allow: '*' }",
    );
    assert.equal(first.decide(user('alice'), 'push', 'app').allowed, false);
    assert.equal(first.decide(user('alice'), 'pull', 'app').allowed, true);
    const other = rules(
      "{ who: alice, repositories: '**', allow: '*' }",
      "{ who: '*', repositories: '**', deny: '*' }",
    );
    assert.equal(other.decide(user('alice'), 'push', 'app').allowed, true);
    assert.equal(other.decide(user('bob'), 'push', 'app').allowed, false);
  });

  it('tells users, robots and CI jobs of one name apart, and a user named anonymous from an unknown caller', () => {
    const named = parsePolicy(`
ci: { x: { issuer: https://ci.example.com, audience: a, claims: { project: p } } }
groups: { g: [robot:x] }
rules:
  - { who: x, repositories: user, allow: pull }
  - { who: robot:x, repositories: robot, allow: pull }
  - { who: ci:x, repositories: ci, allow: pull }
  - { who: group:g, repositories: group, allow: pull }
  - { who: anonymous, repositories: anonymous, allow: pull }
  - { who: authenticated, repositories: authenticated, allow: pull }
`);
    const pulls = (identity: Identity) =>
      ['user', 'robot', 'ci', 'group', 'anonymous', 'authenticated'].filter(
        (repository) => named.decide(identity, 'pull', repository).allowed,
      );
    assert.deepEqual(pulls(user('x')), ['user', 'authenticated']);
    assert.deepEqual(pulls(robot('x')), ['robot', 'group', 'authenticated']);
    assert.deepEqual(pulls(ci('x')), ['ci', 'authenticated']);
    assert.deepEqual(pulls(anonymous), ['anonymous']);
    for (const name of ['anonymous', 'authenticated', '*', 'robot:x', 'group:g'])
      assert.deepEqual(pulls(user(name)), ['authenticated'], name);
  });

  it('gives ${user} to users alone, and nothing to one whose name is no segment', () => {
    const home = rules('{ who: "*", repositories: "${user}/**", allow: "*" }');
    assert.ok(home.decide(user('alice'), 'push', 'alice/app').allowed);
    for (const identity of [robot('alice'), ci('alice'), anonymous])
      assert.ok(!home.decide(identity, 'push', 'alice/app').allowed);
    for (const name of ['*', '**', 'a/b', '../x', 'Alice', ''])
      for (const repository of ['alice/app', 'a/b', 'a/b/app', 'x', 'x/app', 'app'])
        assert.ok(!home.decide(user(name), 'push', repository).allowed, `${name} ${repository}`);
  });
});

describe('a robot with grants', () => {
  const grants = [
    { actions: ['pull', 'push'], repositories: ['team/**', 'archive/**'] },
    { actions: ['delete'], repositories: ['tmp/*'] },
  ] as const;
  const backup = robot('backup', { grants });

  it('may do what they cover, whatever rules allow', () => {
    for (const [action, repository, allowed] of [
      ['push', 'team/app', true],
      ['delete', 'tmp/x', true],
      ['delete', 'team/app', false],
      ['pull', 'library/alpine', false],
    ] as const)
      assert.deepEqual(policy.decide(backup, action, repository), {
        allowed,
        rule: 'the grants of robot:backup',
      });
  });

  it('may not do what a rule denies, or what is read-only', () => {
    assert.deepEqual(policy.decide(backup, 'pull', 'team/secret'), {
      allowed: false,
      rule: 'rule 1 (nothing secret)',
    });
    assert.deepEqual(policy.decide(backup, 'push', 'archive/x'), {
      allowed: false,
      rule: 'read-only (archive/**)',
    });
  });

  it('is not denied by a rule after one that allows', () => {
    const late = rules(
      "{ who: robot:backup, repositories: '**', allow: pull }",
      "{ who: '*', repositories: '**', deny: '*' }",
    );
    assert.ok(late.decide(backup, 'pull', 'team/app').allowed);
    assert.ok(!late.decide(backup, 'push', 'team/app').allowed);
  });

  it('may do nothing by grants of nothing, or of what is no pattern', () => {
    for (const repositories of [[], ['Team/**'], ['${user}/**'], ['**x']]) {
      const held = robot('backup', { grants: [{ actions: ['pull'], repositories }] });
      assert.ok(!policy.decide(held, 'pull', 'team/app').allowed);
    }
    assert.ok(!policy.decide(robot('builder', { grants: [] }), 'push', 'team/app').allowed);
  });

  it('may do nothing once it is revoked', () => {
    assert.ok(!policy.decide(robot('ci-backup', { grants }), 'pull', 'team/app').allowed);
    assert.ok(policy.isRevoked(robot('ci-backup')));
    assert.ok(!policy.isRevoked(backup));
    const notBefore = Date.UTC(2026, 10) / 1000;
    assert.ok(policy.isRevoked({ name: 'backup', issuedAt: notBefore - 1 }));
    assert.ok(!policy.isRevoked({ name: 'backup', issuedAt: notBefore }));
  });
});

describe('immutable tags', () => {
  for (const [repository, tag, rule] of [
    ['team/app', 'v1', 'immutable-tags 1 (v*)'],
    ['team/app', 'v-next', undefined],
    ['team/app', 'latest', undefined],
    ['other', 'v1', undefined],
    ['other', 'release', 'immutable-tags 2 (release)'],
  ] as const)
    it(`are ${rule === undefined ? 'not ' : ''}${repository}:${tag}`, () => {
      assert.equal(policy.immutable(repository, tag), rule);
    });

  it('stay so by a later entry where an earlier one excepts them', () => {
    const two = parsePolicy(`
rules: []
immutable-tags:
  - { repositories: '**', tags: '*', except: latest }
  - { repositories: prod/**, tags: '*' }
`);
    assert.equal(two.immutable('app', 'latest'), undefined);
    assert.equal(two.immutable('prod/app', 'latest'), 'immutable-tags 2 (*)');
  });
});

describe('the identity of a CI job', () => {
  const github = { iss: 'https://token.actions.githubusercontent.com', aud: 'registry.example.com' };
  const job = { ...github, repository_id: '123456', ref: 'refs/heads/main' };
  const cluster = { iss: 'https://kubernetes.example.com', aud: ['x', 'registry.example.com'] };

  for (const [what, payload, name] of [
    ['all claims match', job, 'release'],
    ['one of several values matches', { ...job, ref: 'refs/tags/v1/x' }, 'release'],
    ['a number is written in a claim', { ...job, repository_id: 123456 }, 'release'],
    [
      'a claim within another one and one of several audiences match',
      { ...cluster, 'kubernetes.io': { namespace: 'prod-1' } },
      'cluster',
    ],
    ['the issuer is another', { ...job, iss: `${job.iss}/` }, undefined],
    ['the audience is another', { ...job, aud: 'https://github.com/octo' }, undefined],
    ['the audience is missing', { ...job, aud: undefined }, undefined],
    ['a claim is missing', { ...github, ref: 'refs/heads/main' }, undefined],
    ['a claim is another', { ...job, ref: 'refs/heads/main2' }, undefined],
    ['a claim begins like it', { ...job, ref: 'refs/heads/main/x' }, undefined],
    ['a claim is an object', { ...job, ref: { toString: () => 'refs/heads/main' } }, undefined],
    ['a claim within another one is missing', { ...cluster, 'kubernetes.io': 'prod-1' }, undefined],
    ['a claim is inherited', Object.create(job) as Record<string, unknown>, undefined],
  ] as const)
    it(`is ${name ?? 'none'} where ${what}`, () => {
      assert.equal(ciIdentityOf(policy.ci, payload as Record<string, unknown>)?.name, name);
    });

  it('is the first that matches', () => {
    const identity = (name: string) =>
      `  ${name}: { issuer: https://ci.example.com, audience: a, claims: { project: "*" } }`;
    const two = parsePolicy(['rules: []', 'ci:', identity('b'), identity('a')].join('\n'));
    assert.equal(ciIdentityOf(two.ci, { iss: 'https://ci.example.com', aud: 'a', project: 'p' })?.name, 'b');
  });

  it('has the lifetime of the file, in seconds, or 2 hours', () => {
    assert.deepEqual(
      policy.ci.map(({ lifetime }) => lifetime),
      [90 * 60, 2 * 60 * 60],
    );
  });
});
