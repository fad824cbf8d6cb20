import { RegistryError } from './errors.ts';
import { readOnce } from './queries.ts';

/** The requested part of a sorted list. */
export interface Page {
  /** Maximum number of entries, 0 to {@link maxPage}. */
  readonly n: number;
  /** Only entries after this in byte order; it need not exist. '' starts at the beginning. */
  readonly last: string;
}

/** Entries of the largest page. A larger `n` is reduced to it (CVE-2023-2253: distribution allocated any requested size). */
export const maxPage = 1000;

/**
 * Reads `n` and `last` (OCI Distribution Spec, "Listing Tags", end-8b).
 * @param defaultSize entries without `n`
 * @throws RegistryError PAGINATION_NUMBER_INVALID if `n` is not one whole number from 0, QUERY_INVALID if `last` differs
 */
export function parsePage(query: URLSearchParams, defaultSize: number): Page {
  const n = parseCount(query, 'n', defaultSize);
  return { n: Math.min(n, maxPage), last: readOnce(query, 'last') ?? '' };
}

/**
 * Reads a parameter that is a number.
 * @throws RegistryError PAGINATION_NUMBER_INVALID if it is present and not one whole number from 0
 */
export function parseCount(query: URLSearchParams, name: string, fallback: number): number {
  const given = query.getAll(name);
  if (given.length > 1 || !given.every((n) => /^\d{1,20}$/.test(n)))
    throw new RegistryError('PAGINATION_NUMBER_INVALID', `${name} must be a whole number from 0`, [
      { [name]: given.join(', ').slice(0, 100) },
    ]);
  return given[0] === undefined ? fallback : Number(given[0]);
}

/**
 * The `Link` to the page after `last` (RFC 8288).
 * @param path of the list, without query
 * @param more further parameters of the next page
 */
export function nextPageLink(path: string, page: Page, more: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams({ ...more, last: page.last, n: String(page.n) });
  return `<${path}?${query.toString()}>; rel="next"`;
}
