import type { Digest } from './digests.ts';
import { RegistryError } from './errors.ts';

/*
 * Conditional requests (RFC 9110, section 13). The entity tag of a blob or manifest is its digest in quotes: a strong
 * validator, as it names the bytes. Nothing else has one. Nothing at all has a date, without which If-Unmodified-Since and
 * If-Modified-Since must be ignored (sections 13.1.3 and 13.1.4).
 */

/** @returns the ETag of content */
export function entityTag(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * Whether a client has the content already, by its `If-None-Match` (section 13.1.2): a list of tags, weak ones among them,
 * or any content at all.
 */
export function matchesIfNoneMatch(condition: string, digest: Digest): boolean {
  return includesTag(condition, digest, { weak: true });
}

/** What a request asks of what is there, as its headers say it; empty where it asks nothing. */
export interface Conditions {
  readonly ifMatch: string;
  readonly ifNoneMatch: string;
}

/** Of a request that asks nothing. */
export const unconditional: Conditions = { ifMatch: '', ifNoneMatch: '' };

/** Whether a request asks anything. */
export function isConditional({ ifMatch, ifNoneMatch }: Conditions): boolean {
  return ifMatch !== '' || ifNoneMatch !== '';
}

/**
 * Holds what a request asks against what is there now (sections 13.1.1 and 13.1.2).
 * @param current undefined when there is nothing
 * @throws RegistryError PRECONDITION_FAILED
 */
export function assertConditions({ ifMatch, ifNoneMatch }: Conditions, current: Digest | undefined): void {
  const matches = ifMatch === '' || (current !== undefined && includesTag(ifMatch, current, { weak: false }));
  const differs =
    ifNoneMatch === '' || current === undefined || !includesTag(ifNoneMatch, current, { weak: true });
  if (!matches || !differs) throw preconditionFailed(current);
}

/**
 * Holds what a request asks against something that has no entity tag, such as a list or an upload: none is ever named.
 * @throws RegistryError PRECONDITION_FAILED
 */
export function assertUntagged({ ifMatch, ifNoneMatch }: Conditions, method: string): void {
  // A POST makes something new. To a GET, If-None-Match only says that an answer may be left out.
  const changes = !['GET', 'HEAD', 'POST'].includes(method);
  const isNamed = ifMatch !== '' && ifMatch.trim() !== '*';
  if (isNamed || (changes && ifNoneMatch.trim() === '*')) throw preconditionFailed();
}

/** @param current undefined when there is nothing, or nobody knows what */
export function preconditionFailed(current?: Digest): RegistryError {
  return new RegistryError('PRECONDITION_FAILED', undefined, current === undefined ? [] : [{ current }]);
}

/** Commas may stand within a tag (section 8.8.3), and `*` alone. */
function includesTag(condition: string, digest: Digest, { weak }: { readonly weak: boolean }): boolean {
  if (condition.trim() === '*') return true;
  const elements = condition.match(/(?:[^",]|"[^"]*")+/g) ?? [];
  return elements.some((element) => {
    const [, isWeak, tag] = /^(W\/)?"([^"]*)"$/.exec(element.trim()) ?? [];
    return tag === digest && (weak || isWeak === undefined);
  });
}
