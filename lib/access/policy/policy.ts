import { nameOf, type Action, type Grant, type Identity } from '../access.ts';
import { keyOf, type CiIdentity, type PolicyContent, type Rule, type Who } from './model.ts';
import { Pattern, repositoryPatternFault } from './patterns.ts';

/** The decision about one request. */
export interface PolicyDecision {
  readonly allowed: boolean;
  /** What decided: `rule 3 (releases)`, `read-only (archive/**)`, `the grants of robot:backup`, `no rule`. */
  readonly rule: string;
}

/** The deciding rule of a request that matches no rule. */
export const noRule = 'no rule';

type Robot = Extract<Identity, { kind: 'robot' }>;

/** The permissions of one version of a policy file. Immutable. */
export class Policy {
  readonly content: PolicyContent;
  /** Cached rules of each caller, since lists of repositories need thousands of decisions. */
  readonly #rulesOf = new WeakMap<Identity, readonly Rule[]>();
  readonly #grants = new WeakMap<readonly Grant[], readonly CompiledGrant[]>();

  constructor(content: PolicyContent) {
    this.content = content;
  }

  /** Identities of CI jobs. The first that matches is used. */
  get ci(): readonly CiIdentity[] {
    return this.content.ci;
  }

  /**
   * Decides whether a caller may do something in a repository. Invalid identities and changes of read-only repositories are
   * denied. Then the first rule for the caller, repository and action decides; without one the request is denied. A robot with
   * grants may do what its grants cover, unless the first such rule denies it.
   */
  decide(identity: Identity, action: Action, repository: string): PolicyDecision {
    const segments = repository.split('/');
    const refusal = this.invalidReason(identity) ?? this.readOnlyReason(action, segments);
    if (refusal !== undefined) return { allowed: false, rule: refusal };
    const user = userOf(identity);
    const rule = this.#rulesFor(identity).find(
      ({ actions, repositories }) =>
        actions.has(action) && repositories.some((pattern) => pattern.matches(segments, user)),
    );
    if (identity.kind === 'robot' && identity.grants !== undefined && rule?.allows !== false)
      return {
        allowed: this.covers(identity.grants, action, segments),
        rule: `the grants of ${nameOf(identity)}`,
      };
    return rule === undefined ? { allowed: false, rule: noRule } : { allowed: rule.allows, rule: rule.label };
  }

  /** Whether tags of a repository can be immutable. */
  hasImmutable(repository: string): boolean {
    const segments = repository.split('/');
    return this.content.immutableTags.some(({ repositories }) =>
      repositories.some((pattern) => pattern.matches(segments)),
    );
  }

  /** The rule that makes a tag immutable, such as `immutable-tags 1 (v*)`, or undefined. */
  immutable(repository: string, tag: string): string | undefined {
    const segments = repository.split('/');
    for (const { label, repositories, tags, except } of this.content.immutableTags) {
      if (!repositories.some((pattern) => pattern.matches(segments))) continue;
      const pattern = tags.find((tagPattern) => tagPattern.matches([tag]));
      if (pattern !== undefined && !except.some((pattern) => pattern.matches([tag])))
        return `${label} (${pattern.text})`;
    }
    return undefined;
  }

  /** Whether a robot token is revoked, by its name or its time of issue. */
  isRevoked({ name, issuedAt }: Pick<Robot, 'name' | 'issuedAt'>): boolean {
    return this.#revocation(name, issuedAt) !== undefined;
  }

  /** Why an identity is invalid, or undefined. */
  invalidReason(identity: Identity): string | undefined {
    if (identity.kind === 'robot') return this.#revocation(identity.name, identity.issuedAt);
    if (identity.kind === 'ci' && !this.ci.some(({ name }) => name === identity.name))
      return `ci (no ${identity.name})`;
    return undefined;
  }

  #revocation(name: string, issuedAt: number): string | undefined {
    const { revokedRobots, robotsNotBefore } = this.content;
    if (revokedRobots.has(name)) return 'robots.revoked';
    return robotsNotBefore !== undefined && issuedAt < robotsNotBefore ? 'robots.not-before' : undefined;
  }

  /** Why an action is denied in a read-only repository, or undefined. @param segments of its name */
  readOnlyReason(action: Action, segments: readonly string[]): string | undefined {
    if (action !== 'push' && action !== 'delete') return undefined;
    const pattern = this.content.readOnly.find((candidate) => candidate.matches(segments));
    return pattern === undefined ? undefined : `read-only (${pattern.text})`;
  }

  /** The first entry of a rule's `who` that matches a caller, or undefined. */
  whoMatches({ who }: Rule, identity: Identity): Who | undefined {
    return who.find((entry) => this.#matches(entry, identity));
  }

  /** Whether the grants of a robot cover an action. @param segments of the repository's name */
  covers(grants: readonly Grant[], action: Action, segments: readonly string[]): boolean {
    let compiled = this.#grants.get(grants);
    if (compiled === undefined) this.#grants.set(grants, (compiled = grants.map(compileGrant)));
    return compiled.some(
      ({ actions, repositories }) =>
        actions.includes(action) && repositories.some((pattern) => pattern.matches(segments)),
    );
  }

  #rulesFor(identity: Identity): readonly Rule[] {
    const known = this.#rulesOf.get(identity);
    if (known !== undefined) return known;
    const rules = this.content.rules.filter((rule) => this.whoMatches(rule, identity) !== undefined);
    this.#rulesOf.set(identity, rules);
    return rules;
  }

  #matches(who: Who, identity: Identity): boolean {
    switch (who.kind) {
      case 'everybody':
        return true;
      case 'authenticated':
        return identity.kind !== 'anonymous';
      case 'anonymous':
        return identity.kind === 'anonymous';
      case 'group':
        return (
          identity.kind !== 'anonymous' && this.content.groups.get(who.name)?.has(keyOf(identity)) === true
        );
      case 'user':
      case 'robot':
      case 'ci':
        return identity.kind === who.kind && identity.name === who.name;
    }
  }
}

/** The value of `${user}`. Robots, CI jobs and anonymous callers have none. */
export function userOf(identity: Identity): string | undefined {
  return identity.kind === 'user' ? identity.name : undefined;
}

interface CompiledGrant {
  readonly actions: readonly Action[];
  readonly repositories: readonly Pattern[];
}

/** Invalid patterns grant nothing. */
function compileGrant({ actions, repositories }: Grant): CompiledGrant {
  const valid = repositories.filter((text) => repositoryPatternFault(text, { ofUser: false }) === undefined);
  return { actions, repositories: valid.map((text) => new Pattern(text)) };
}
