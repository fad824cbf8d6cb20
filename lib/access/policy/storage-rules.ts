import type { Pattern } from './patterns.ts';

/** What a policy says about the storage: which tags stay, and how much repositories may hold. */
export interface StorageRules {
  readonly retention: readonly RetentionRule[];
  readonly quotas: readonly QuotaRule[];
}

/** The rules in force. They are read again when they change. */
export interface RulesInForce {
  /** @throws RegistryError UNAVAILABLE if there never was a valid file; its cause is the reason */
  current(): Promise<StorageRules>;
}

/** Which tags of repositories stay. */
export interface RetentionRule {
  /** `retention 2` */
  readonly label: string;
  /** Line of the file, from 1; 0 for a rule that a setting makes. */
  readonly line: number;
  readonly repositories: readonly Pattern[];
  /** In order: the last that matches a tag decides whether the rule is about it. */
  readonly tags: readonly TagPattern[];
  readonly keep: Keep;
  /** Milliseconds after which manifests without a tag may go; undefined if they stay. */
  readonly untaggedAfterMs: number | undefined;
  /** Whether images expire as their own label says. */
  readonly expiresByLabel: boolean;
  /** Whether tags go that nothing else keeps. */
  readonly deletesOthers: boolean;
}

export interface TagPattern {
  readonly pattern: Pattern;
  /** Whether it was written with `!`. */
  readonly excludes: boolean;
}

/** What keeps a tag. Each is undefined if it is not asked for. */
export interface Keep {
  /** Number of tags, the latest pushed first. */
  readonly newest: number | undefined;
  readonly pushedWithinMs: number | undefined;
  readonly pulledWithinMs: number | undefined;
  /** Bytes of the images that were used last, in all repositories of the rule together. Only of caches (docs/cache.md). */
  readonly sizeBytes: number | undefined;
}

/** Whether pulls count for a rule, so that they are recorded in its repositories. */
export function countsPulls({ keep }: RetentionRule): boolean {
  return keep.pulledWithinMs !== undefined || keep.sizeBytes !== undefined;
}

/** How many bytes some repositories may hold together. */
export interface QuotaRule {
  /** `quota 2` */
  readonly label: string;
  /** Line of the file, from 1. */
  readonly line: number;
  readonly repositories: readonly Pattern[];
  readonly bytes: number;
}

/** How a rule is named to people: `retention 2, line 14` */
export function shownRule({ label, line }: Pick<RetentionRule, 'label' | 'line'>): string {
  return line === 0 ? label : `${label}, line ${line}`;
}

/** The first of some rules that is about a repository. */
export function ruleFor<Rule extends { readonly repositories: readonly Pattern[] }>(
  rules: readonly Rule[],
  repository: string,
): Rule | undefined {
  const segments = repository.split('/');
  return rules.find(({ repositories }) => repositories.some((pattern) => pattern.matches(segments)));
}
