import { RegistryError } from './errors.ts';

declare const brand: unique symbol;

/** A repository's name that has passed {@link parseRepositoryName}: safe to make a key of. */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' };

/** Characters of a name. The spec leaves the limit open; 255 is distribution's, and keeps paths within file systems'. */
const maxLength = 255;

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const grammar = new RegExp(`^${component}(?:/${component})*$`);

/**
 * Reads a repository name: lower-case components of letters and digits, with `.`, `_`, `__` or dashes within, joined by
 * slashes; 255 characters at most (OCI Distribution Spec, "Pulling manifests").
 * @throws RegistryError NAME_INVALID
 */
export function parseRepositoryName(text: string): RepositoryName {
  // The length first, so that no pattern runs over megabytes.
  if (text.length > maxLength || !grammar.test(text))
    throw new RegistryError('NAME_INVALID', undefined, [{ name: text.slice(0, maxLength) }]);
  return text as RepositoryName;
}

/** Whether a text is a repository name, where finding out is not an error. */
export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= maxLength && grammar.test(text);
}
