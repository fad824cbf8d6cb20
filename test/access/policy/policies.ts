import type { Identity } from '../../../lib/access/access.ts';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';
import type { Policy } from '../../../lib/access/policy/policy.ts';

/** An example of all that a policy file can have. */
export const example = `
groups:
  developers: [alice, bob, robot:builder]
  nobody: []
ci:
  release:
    issuer: https://token.actions.githubusercontent.com
    audience: registry.example.com
    claims: { repository_id: "123456", ref: [refs/heads/main, refs/tags/**] }
    lifetime: 90m
  cluster:
    issuer: https://kubernetes.example.com
    audience: registry.example.com
    claims: { kubernetes.io: { namespace: prod-* } }
robots:
  revoked: [ci-backup]
  not-before: 2026-11-01T00:00:00Z
read-only: [archive/**]
immutable-tags:
  - repositories: team/**
    tags: [v*]
    except: [v-next]
  - { repositories: '**', tags: release }
rules:
  - name: nothing secret
    who: '*'
    repositories: team/secret/**
    deny: '*'
  - name: releases
    who: [group:developers, ci:release]
    repositories: [team/**, "\${user}/**"]
    allow: [pull, push]
  - { who: root, repositories: '**', allow: '*' }
  - { who: authenticated, repositories: [library/*, archive/**], allow: [pull, list] }
  - { who: anonymous, repositories: library/hello, allow: pull }
`;

export const user = (name: string): Identity => ({ kind: 'user', name });
export const ci = (name: string): Identity => ({ kind: 'ci', name });
export const anonymous: Identity = { kind: 'anonymous' };

type Robot = Extract<Identity, { kind: 'robot' }>;

/** A robot whose token was issued on December 1st of 2026. */
export const robot = (name: string, more: Partial<Robot> = {}): Robot => ({
  kind: 'robot',
  name,
  issuedAt: Date.UTC(2026, 11) / 1000,
  ...more,
});

/** A policy that has just these rules, as YAML in a line each. */
export function rules(...lines: readonly string[]): Policy {
  return parsePolicy(['rules:', ...lines.map((line) => `  - ${line}`)].join('\n'));
}
