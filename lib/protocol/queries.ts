import { RegistryError, type Failure } from './errors.ts';

/**
 * The value of a parameter, or null where there is none. Programs on the way may choose another of two than we do, so
 * these must say the same.
 * @param failure what it is when it is there with different values
 * @throws RegistryError
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
