import type { Digest } from './digests.ts';
import { RegistryError } from './errors.ts';

/*
 * Conditional requests (RFC 9110, section 13). The entity tag of a blob or manifest is its quoted digest, a strong validator.
 * Nothing else has an entity tag. Nothing has a modification date, so If-Unmodified-Since and If-Modified-Since must be
 * ignored (sections 13.1.3 and 13.1.4).
 */

export function entityTag(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * Whether `If-None-Match` says that the client already has the content (section 13.1.2). Weak tags match as well, and `*`
 * matches any content.
 */
export function matchesIfNoneMatch(condition: string, digest: Digest): boolean {
  return includesTag(condition, digest, { weak: true });
}

/** The conditional headers of a request; '' where one is missing. */
export interface Conditions {
  readonly ifMatch: string;
  readonly ifNoneMatch: string;
}

export const unconditional: Conditions = { ifMatch: '', ifNoneMatch: '' };

export function isConditional({ ifMatch, ifNoneMatch }: Conditions): boolean {
  return ifMatch !== '' || ifNoneMatch !== '';
}

/**
 * Checks the conditions against the current content (sections 13.1.1 and 13.1.2).
 * @param current undefined if there is none
 * @throws RegistryError PRECONDITION_FAILED
 */
export function assertConditions({ ifMatch, ifNoneMatch }: Conditions, current: Digest | undefined): void {
  const matches = ifMatch === '' || (current !== undefined && includesTag(ifMatch, current, { weak: false }));
  const differs =
    ifNoneMatch === '' || current === undefined || !includesTag(ifNoneMatch, current, { weak: true });
  if (!matches || !differs) throw preconditionFailed(current);
}

/**
 * Checks the conditions against a resource without an entity tag, such as a list: no tag matches.
 * @throws RegistryError PRECONDITION_FAILED
 */
export function assertUntagged({ ifMatch, ifNoneMatch }: Conditions, method: string): void {
  // A POST creates a new resource. For a GET, If-None-Match only means that the body may be omitted.
  const changes = !['GET', 'HEAD', 'POST'].includes(method);
  const isNamed = ifMatch !== '' && ifMatch.trim() !== '*';
  if (isNamed || (changes && ifNoneMatch.trim() === '*')) throw preconditionFailed();
}

/** @param current undefined if there is none or it is unknown */
export function preconditionFailed(current?: Digest): RegistryError {
  return new RegistryError('PRECONDITION_FAILED', undefined, current === undefined ? [] : [{ current }]);
}

/** Whether a list of entity tags includes that of a digest. Tags may contain commas (section 8.8.3). */
function includesTag(condition: string, digest: Digest, { weak }: { readonly weak: boolean }): boolean {
  if (condition.trim() === '*') return true;
  const elements = condition.match(/(?:[^",]|"[^"]*")+/g) ?? [];
  return elements.some((element) => {
    const [, isWeak, tag] = /^(W\/)?"([^"]*)"$/.exec(element.trim()) ?? [];
    return tag === digest && (weak || isWeak === undefined);
  });
}
