import { RegistryError, type Failure } from './errors.ts';

/**
 * The value of a query parameter, or null if it is missing. Repeated values must be equal: a proxy might use another one
 * than this registry.
 * @throws RegistryError `failure` if values differ
 */
export function readOnce(
  query: URLSearchParams,
  name: string,
  failure: Failure = 'QUERY_INVALID',
): string | null {
  const [value = null, ...others] = new Set(query.getAll(name));
  if (others.length > 0) throw new RegistryError(failure, `the query has several values of ${name}`);
  return value;
}
