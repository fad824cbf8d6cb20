import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { actions, type Action, type Identity } from '../../../lib/access/access.ts';
import { decideWithTag, explain } from '../../../lib/access/policy/explain.ts';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';

/*
 * A second evaluator, which shares nothing with the first: regular expressions on the file as it is written.
 */

interface RandomPolicy {
  groups: Record<string, string[]>;
  ci: Record<string, { issuer: string; audience: string; claims: Record<string, string> }>;
  robots: { revoked: string[]; 'not-before': string };
  'read-only': string[];
  'immutable-tags': { repositories: string[]; tags: string[]; except?: string[] }[];
  rules: {
    name?: string;
    who: string | string[];
    repositories: string | string[];
    allow?: string | string[];
    deny?: string | string[];
  }[];
}

interface Request {
  identity: Identity;
  action: Action;
  repository: string;
  tag: string | undefined;
  exists: boolean;
}

interface Verdict {
  allowed: boolean;
  rule: string;
}

const listOf = (value: string | readonly string[]): readonly string[] =>
  typeof value === 'string' ? [value] : value;

const escape = (text: string) => text.replace(/[.+?^${}()|[\]\\-]/g, '\\$&');

function regExp(pattern: string, user?: string): RegExp {
  const isComponent = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/.test(user ?? '');
  if (pattern.includes('${user}') && !isComponent) return /(?!)/;
  const text = pattern.replaceAll('${user}', user ?? '');
  const parts = text
    .split('/')
    .map((part) => (part === '**' ? '(?:/[^/]+)*' : `/${escape(part).replaceAll('*', '[^/]*')}`));
  return new RegExp(`^${parts.join('')}$`);
}

const hits = (patterns: string | readonly string[], name: string, user?: string) =>
  listOf(patterns).some((pattern) => regExp(pattern, user).test(`/${name}`));

function written(identity: Identity): string {
  if (identity.kind === 'anonymous') return 'anonymous';
  return identity.kind === 'user' ? identity.name : `${identity.kind}:${identity.name}`;
}

function names(policy: RandomPolicy, who: string | readonly string[], identity: Identity): boolean {
  return listOf(who).some((one) => {
    if (one === '*') return true;
    if (one === 'anonymous') return identity.kind === 'anonymous';
    if (identity.kind === 'anonymous') return false;
    if (one === 'authenticated') return true;
    if (one.startsWith('group:')) return policy.groups[one.slice(6)]?.includes(written(identity)) === true;
    return one === written(identity);
  });
}

function naive(policy: RandomPolicy, { identity, action, repository, tag, exists }: Request): Verdict {
  if (identity.kind === 'robot') {
    if (policy.robots.revoked.includes(identity.name)) return { allowed: false, rule: 'robots.revoked' };
    if (identity.issuedAt * 1000 < Date.parse(policy.robots['not-before']))
      return { allowed: false, rule: 'robots.not-before' };
  }
  if (identity.kind === 'ci' && policy.ci[identity.name] === undefined)
    return { allowed: false, rule: `ci (no ${identity.name})` };
  const changes = action === 'push' || action === 'delete';
  for (const pattern of policy['read-only'])
    if (changes && hits(pattern, repository)) return { allowed: false, rule: `read-only (${pattern})` };
  let verdict: Verdict | undefined;
  const user = identity.kind === 'user' ? identity.name : undefined;
  policy.rules.forEach((rule, index) => {
    const covered = listOf(rule.allow ?? rule.deny ?? []);
    if (verdict !== undefined || !(covered.includes('*') || covered.includes(action))) return;
    if (!names(policy, rule.who, identity) || !hits(rule.repositories, repository, user)) return;
    const label = `rule ${index + 1}${rule.name === undefined ? '' : ` (${rule.name})`}`;
    verdict = { allowed: rule.allow !== undefined, rule: label };
  });
  if (identity.kind === 'robot' && identity.grants !== undefined && verdict?.allowed !== false)
    verdict = {
      allowed: identity.grants.some(
        (grant) => grant.actions.includes(action) && hits(grant.repositories, repository),
      ),
      rule: `the grants of ${written(identity)}`,
    };
  verdict ??= { allowed: false, rule: 'no rule' };
  if (!verdict.allowed || tag === undefined || !(action === 'delete' || (action === 'push' && exists)))
    return verdict;
  for (const [index, entry] of policy['immutable-tags'].entries())
    for (const pattern of entry.tags)
      if (hits(entry.repositories, repository) && hits(pattern, tag) && !hits(entry.except ?? [], tag))
        return { allowed: false, rule: `immutable-tags ${index + 1} (${pattern})` };
  return verdict;
}

const { oneof, constantFrom, array, record, constant, option, tuple } = fc;

const users = ['alice', 'bob', 'ab', 'Alice', '../x', '*', '**', 'a/b', 'anonymous', 'a.b', '${user}'];
const robots = ['backup', 'ab'];
const segment = constantFrom('a', 'b', 'ab', 'aab', 'alice', 'bob', 'a.b', 'a-b');
const repository = array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const starred = constantFrom('*', '**', 'a*', '*b', 'a*b', '*a*', 'a*a*b', 'a*b*b', '*.*', 'a.b');
const patternOf = (part: fc.Arbitrary<string>) =>
  array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const pattern = oneof(patternOf(oneof(segment, starred)), constant('**'));
const userPattern = oneof(
  { weight: 3, arbitrary: pattern },
  {
    weight: 1,
    arbitrary: patternOf(oneof(segment, starred, constantFrom('${user}', '${user}*', 'a-${user}'))),
  },
);
const tag = constantFrom('v1', 'v2', 'latest', 'ab', 'a.b');
const tagPattern = constantFrom('v*', '*', 'latest', '*1', 'a*b', 'a.b');

/** A single text or a list. */
const some = (arbitrary: fc.Arbitrary<string>) =>
  oneof(arbitrary, array(arbitrary, { minLength: 1, maxLength: 3 }));

const who = oneof(
  constantFrom('*', 'authenticated', 'anonymous', 'group:g', 'group:h'),
  constantFrom('alice', 'bob', 'ab', 'Alice', '../x', 'a/b', 'a.b'),
  constantFrom('robot:backup', 'robot:ab', 'ci:release', 'ci:ab'),
);

const job = constant({ issuer: 'https://ci.example.com', audience: 'a', claims: { project: 'p' } });

const policies: fc.Arbitrary<RandomPolicy> = record({
  groups: record({
    g: array(constantFrom('alice', 'Alice', 'a/b', 'robot:ab', 'ci:ab'), { maxLength: 3 }),
    h: array(constantFrom('bob', 'ab', 'robot:backup', 'ci:release'), { maxLength: 3 }),
  }),
  ci: record({ release: job, ab: job }),
  robots: record({
    revoked: constantFrom([], ['backup']),
    'not-before': constant('2026-01-01T01:00:00+01:00'),
  }),
  'read-only': array(patternOf(oneof(segment, starred)), { maxLength: 1 }),
  'immutable-tags': array(
    record(
      {
        repositories: array(pattern, { minLength: 1, maxLength: 2 }),
        tags: array(tagPattern, { minLength: 1, maxLength: 2 }),
        except: array(tagPattern, { minLength: 1, maxLength: 1 }),
      },
      { requiredKeys: ['repositories', 'tags'] },
    ),
    { maxLength: 2 },
  ),
  rules: array(
    tuple(
      record(
        { name: constantFrom('x', 'y z'), who: some(who), repositories: some(userPattern) },
        { requiredKeys: ['who', 'repositories'] },
      ),
      constantFrom('allow', 'allow', 'deny'),
      some(constantFrom(...actions, '*')),
    ).map(([rule, effect, list]) => ({ ...rule, [effect]: list })),
    { maxLength: 8 },
  ),
});

const grants = array(
  record({
    actions: array(constantFrom(...actions), { maxLength: 3 }),
    repositories: array(pattern, { maxLength: 2 }),
  }),
  { maxLength: 2 },
);

const identities: fc.Arbitrary<Identity> = oneof(
  constant({ kind: 'anonymous' as const }),
  { weight: 2, arbitrary: record({ kind: constant('user' as const), name: constantFrom(...users) }) },
  record(
    {
      kind: constant('robot' as const),
      name: constantFrom(...robots),
      issuedAt: constantFrom(1767225599, 1767225600, 1767225601),
      grants,
    },
    { requiredKeys: ['kind', 'name', 'issuedAt'] },
  ),
  record({ kind: constant('ci' as const), name: constantFrom('release', 'ab', 'gone') }),
);

const requests: fc.Arbitrary<Request> = record({
  identity: identities,
  action: constantFrom(...actions),
  repository,
  tag: option(tag, { nil: undefined }),
  exists: fc.boolean(),
});

describe('10,000 random policies', () => {
  it('decide as a second evaluator does, and explain themselves by what they decide', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(policies, requests, (content, request) => {
        // JSON is YAML.
        const policy = parsePolicy(JSON.stringify(content));
        const expected = naive(content, request);
        assert.deepEqual(decideWithTag(policy, request), expected);
        const { steps, allowed, rule } = explain(policy, request);
        assert.deepEqual({ allowed, rule }, expected);
        assert.equal(
          steps.findLast(({ outcome }) => outcome !== 'pass')?.outcome,
          allowed ? 'allow' : 'deny',
        );
        const kind = `${/^(?:no rule|[a-z-]+)/.exec(rule)?.[0] ?? ''}: ${allowed ? 'allow' : 'deny'}`;
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
      }),
      { numRuns: 10_000 },
    );
    // Else the two might agree on nothing but denials.
    for (const kind of [
      'rule: allow',
      'rule: deny',
      'no rule: deny',
      'read-only: deny',
      'robots: deny',
      'immutable-tags: deny',
      'the: allow',
      'the: deny',
      'ci: deny',
    ])
      assert.ok((seen.get(kind) ?? 0) >= 50, `${kind} came up ${seen.get(kind) ?? 0} times`);
  });
});
