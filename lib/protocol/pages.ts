import { RegistryError } from './errors.ts';
import { readOnce } from './queries.ts';

/** Which part of a sorted list a client asks for. */
export interface Page {
  /** Most entries to return, 0 to {@link maxPage}. */
  readonly n: number;
  /** Only entries after this in byte order; it need not be one itself. '' is the beginning. */
  readonly last: string;
}

/** Entries of the largest page. A larger `n` is cut to it (CVE-2023-2253: distribution allocated what was asked). */
export const maxPage = 1000;

/**
 * Reads `n` and `last` (OCI Distribution Spec, "Listing Tags", end-8b).
 * @param defaultSize entries when `n` is not given
 * @throws RegistryError PAGINATION_NUMBER_INVALID when `n` is not one whole number from 0, QUERY_INVALID for several `last`
 */
export function parsePage(query: URLSearchParams, defaultSize: number): Page {
  const given = query.getAll('n');
  if (given.length > 1 || !given.every((n) => /^\d{1,20}$/.test(n)))
    throw new RegistryError('PAGINATION_NUMBER_INVALID', undefined, [{ n: given.join(', ').slice(0, 100) }]);
  const n = given[0] === undefined ? defaultSize : Number(given[0]);
  return { n: Math.min(n, maxPage), last: readOnce(query, 'last') ?? '' };
}

/** The `Link` to the page after `last` (RFC 8288). @param path of the list, without query */
export function nextPageLink(path: string, page: Page): string {
  return `<${path}?${new URLSearchParams({ last: page.last, n: String(page.n) }).toString()}>; rel="next"`;
}
