import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fitsSegment,
  Pattern,
  repositoryPatternFault,
  tagPatternFault,
} from '../../../lib/access/policy/patterns.ts';

const matches = (pattern: string, name: string, user?: string) =>
  new Pattern(pattern, { ofUser: true }).matches(name.split('/'), user);

describe('a pattern of repositories', () => {
  for (const [pattern, yes, no] of [
    ['team/app', ['team/app'], ['team', 'team/app/x', 'team/apps', 'team/ap', 'xteam/app']],
    ['*', ['team', 'a'], ['team/app']],
    ['team/*', ['team/app'], ['team', 'team/app/x', 'teams/app']],
    ['*/app', ['team/app'], ['app', 'a/team/app']],
    ['team/app-*', ['team/app-1', 'team/app-'], ['team/app', 'team/app-1/x']],
    ['team/*-app', ['team/my-app', 'team/-app'], ['team/app', 'team/my-app2']],
    ['a*b*c', ['abc', 'axbxc', 'abbcc', 'abcbc'], ['ab', 'ac', 'abcd', 'axc']],
    ['a*a', ['aa', 'aba'], ['a', 'ab']],
    ['a*ab*b', ['aabb', 'aabab', 'axabxb'], ['aab', 'aabx', 'ab']],
    ['**', ['team', 'team/app', 'a/b/c'], []],
    ['team/**', ['team', 'team/app', 'team/a/b'], ['teams', 'teams/app', 'a/team/app']],
    ['**/app', ['app', 'team/app', 'a/b/app'], ['apps', 'app/x']],
    ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b', 'a/b/b'], ['a', 'b', 'a/b/c', 'a/xb']],
    ['**/a/**/b/**', ['a/b', 'x/a/b', 'a/x/b/y', 'a/a/b'], ['b/a', 'a', 'b/a/x']],
    ['**/*', ['a', 'a/b'], []],
    ['*/**', ['a', 'a/b'], []],
    ['**/**', ['a', 'a/b'], []],
    ['a/**/*/b', ['a/x/b', 'a/x/y/b'], ['a/b']],
  ] as const)
    it(`${pattern} matches whole names: ${yes.join(', ')}; not ${no.join(', ')}`, () => {
      for (const name of yes) assert.ok(matches(pattern, name), name);
      for (const name of no) assert.ok(!matches(pattern, name), name);
    });

  it('takes steps in proportion to both lengths where backtracking would take years', () => {
    const name = `${'a'.repeat(126)}/${'a'.repeat(126)}`;
    const hostile = [
      `${'a*'.repeat(62)}b`,
      `${'*a'.repeat(62)}*b/**`,
      `${'**/'.repeat(80)}b`,
      `${'**/a/'.repeat(50)}b`,
    ];
    const started = performance.now();
    for (let i = 0; i < 100; i++) for (const pattern of hostile) assert.ok(!matches(pattern, name));
    for (const pattern of hostile) assert.ok(!matches(pattern, Array(127).fill('a').join('/')));
    // Some 20 ms. Backtracking would not end.
    assert.ok(performance.now() - started < 10_000);
  });

  for (const [text, reason] of [
    ['', /empty/],
    ['/team', /empty segment/],
    ['team/', /empty segment/],
    ['a//b', /empty segment/],
    ['Team/*', /lower case/],
    ['team/a**', /\*\* must be a whole segment/],
    ['team/***', /\*\* must be a whole segment/],
    ['team/app:v1', /must not contain a tag/],
    ['{a,b}/*', /the character "\{"; write several patterns as a list/],
    ['team/?', /the character "\?"/],
    ['te am', /the character " "/],
    ['[ab]', /the character "\["/],
    ['${group}/*', /the only variable is \$\{user\}/],
    ['$user/*', /the only variable/],
    ['a'.repeat(256), /256 characters, more than 255/],
  ] as const)
    it(`refuses ${JSON.stringify(text.slice(0, 30))}`, () => {
      assert.match(repositoryPatternFault(text, { ofUser: true }) ?? '', reason);
    });

  it('takes ${user} in rules only', () => {
    assert.equal(repositoryPatternFault('home-${user}/**', { ofUser: true }), undefined);
    assert.match(repositoryPatternFault('${user}/**', { ofUser: false }) ?? '', /in rules only/);
  });
});

describe('${user} in a pattern', () => {
  it('is the name of the user', () => {
    assert.ok(matches('${user}/**', 'alice/app', 'alice'));
    assert.ok(matches('home-${user}/*', 'home-alice/app', 'alice'));
    assert.ok(matches('${user}-*/${user}', 'al-x/al', 'al'));
    assert.ok(!matches('${user}/**', 'alice2/app', 'alice'));
    assert.ok(!matches('${user}/**', 'alice/app', 'bob'));
  });

  it('matches nothing where there is no user', () => {
    assert.ok(!matches('${user}/**', 'alice/app'));
    assert.ok(!matches('**/${user}', 'user'));
  });

  // The first three would be the whole registry, or another's part of it, if they were put into the text of the pattern.
  for (const user of [
    '*',
    '**',
    'a/b',
    '../x',
    '..',
    '.',
    '',
    '/',
    'a*',
    '${user}',
    'Alice',
    '$&',
    'a..b',
    '-a',
    'a\n',
    'é',
  ])
    it(`matches nothing for a user named ${JSON.stringify(user)}`, () => {
      assert.equal(fitsSegment(user), false);
      const names = ['x', 'x/y', 'a/b', 'a/b/c', 'alice/app', 'a/x', user, `${user}/app`, user.toLowerCase()];
      for (const pattern of ['${user}', '${user}/**', '**/${user}/**', 'a/${user}', '${user}*/**'])
        for (const name of names) assert.ok(!matches(pattern, name, user), `${pattern} ${name}`);
    });
});

describe('a pattern of tags', () => {
  it('has * for any characters', () => {
    for (const [pattern, tag, expected] of [
      ['v*', 'v1.2', true],
      ['v*', 'V1', false],
      ['*-rc*', '1.0-rc1', true],
      ['*', 'latest', true],
      ['1.0', '1x0', false],
    ] as const)
      assert.equal(new Pattern(pattern).matches([tag]), expected, `${pattern} ${tag}`);
  });

  it('has no slash, no ** and no other characters than tags have', () => {
    assert.match(tagPatternFault('v**') ?? '', /write \* instead of \*\*/);
    assert.match(tagPatternFault('a/b') ?? '', /the character "\/"/);
    assert.match(tagPatternFault('v[0-9]') ?? '', /the character "\["/);
    assert.equal(tagPatternFault('V_1.*-x'), undefined);
  });
});
