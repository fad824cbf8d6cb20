import { RegistryError } from './errors.ts';

declare const brand: unique symbol;

/** A repository name validated by {@link parseRepositoryName}: safe in keys. */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' };

/** Characters of a name. The spec sets no limit; 255 is distribution's and keeps paths within file systems' limits. */
const maxLength = 255;

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const grammar = new RegExp(`^${component}(?:/${component})*$`);

/**
 * Reads a repository name: lower-case components of letters and digits, with `.`, `_`, `__` or dashes within, joined by
 * slashes; 255 characters at most (OCI Distribution Spec, "Pulling manifests").
 * @throws RegistryError NAME_INVALID
 */
export function parseRepositoryName(text: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  throw new RegistryError('NAME_INVALID', undefined, [{ name: text.slice(0, maxLength) }]);
}

/** Whether a text is a repository name. Checks the length first, so that no pattern runs over megabytes. */
export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= maxLength && grammar.test(text);
}
