import type { Action } from '../access.ts';
import type { Pattern } from './patterns.ts';
import type { StorageRules } from './storage-rules.ts';

/*
 * The validated content of a policy file.
 */

/** Largest policy file, in bytes. */
export const maxPolicySize = 1024 * 1024;

/** The fault of a larger file. */
export const sizeFault = 'the policy has more than 1 MiB';

/** A member of a group. */
export type Member = Named<'user'> | Named<'robot'> | Named<'ci'>;

/** One entry of `who`. */
export type Who = { readonly kind: 'everybody' | 'authenticated' | 'anonymous' } | Member | Named<'group'>;

interface Named<Kind extends string> {
  readonly kind: Kind;
  readonly name: string;
}

export interface Rule {
  /** `rule 3 (releases)` */
  readonly label: string;
  /** Line of the file, from 1. */
  readonly line: number;
  readonly who: readonly Who[];
  readonly repositories: readonly Pattern[];
  readonly allows: boolean;
  readonly actions: ReadonlySet<Action>;
}

/** Tags that cannot be moved or deleted. */
export interface ImmutableTags {
  /** `immutable-tags 2` */
  readonly label: string;
  readonly repositories: readonly Pattern[];
  readonly tags: readonly Pattern[];
  readonly except: readonly Pattern[];
}

/** An identity of CI jobs, by the claims of their tokens. */
export interface CiIdentity {
  readonly name: string;
  /** The `iss` of the token, an https URL. */
  readonly issuer: string;
  /** `aud` must be or contain it. */
  readonly audience: string;
  /** At least one. */
  readonly claims: readonly Claim[];
  /** Lifetime of refresh tokens, in seconds. */
  readonly lifetime: number;
}

export interface Claim {
  /** The name of the claim, followed by the names inside a nested one. */
  readonly path: readonly string[];
  /** One of them must match. */
  readonly values: readonly Pattern[];
}

/** A test in the file. */
export interface PolicyTest {
  readonly line: number;
  readonly as: Member | { readonly kind: 'anonymous' };
  readonly repository: string;
  readonly action: Action;
  readonly tag: string | undefined;
  /** Whether the tag exists already. */
  readonly exists: boolean;
  readonly expect: 'allow' | 'deny';
}

/** The whole policy. */
export interface PolicyContent extends StorageRules {
  /** {@link keyOf} of the members, by group. */
  readonly groups: ReadonlyMap<string, ReadonlySet<string>>;
  readonly ci: readonly CiIdentity[];
  readonly revokedRobots: ReadonlySet<string>;
  /** Seconds since 1970. Robot tokens that were issued earlier are invalid. */
  readonly robotsNotBefore: number | undefined;
  readonly readOnly: readonly Pattern[];
  readonly immutableTags: readonly ImmutableTags[];
  readonly rules: readonly Rule[];
  readonly tests: readonly PolicyTest[];
}

/** The key of a group member. Equal names of different kinds have different keys. */
export function keyOf({ kind, name }: { readonly kind: string; readonly name: string }): string {
  return `${kind}:${name}`;
}

/** An entry of `who` as it is written in the file. */
export function nameOfWho(who: Who): string {
  if (who.kind === 'everybody') return "'*'";
  if (!('name' in who)) return who.kind;
  return who.kind === 'user' ? who.name : keyOf(who);
}
