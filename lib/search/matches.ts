import type { SearchPage, SearchResults } from './search-backend.ts';

/** 0 for an exact match, 1 for a prefix, 2 for a substring. */
function rank(name: string, term: string): 0 | 1 | 2 | undefined {
  if (name === term) return 0;
  if (name.startsWith(term)) return 1;
  return name.includes(term) ? 2 : undefined;
}

/**
 * A page of the names that contain a term: exact match, prefixes, then others.
 * @param names in byte order, which is kept within a rank
 */
export function pageOfMatches(
  names: Iterable<string>,
  term: string,
  { size, number }: SearchPage,
): SearchResults {
  const matches: [string[], string[], string[]] = [[], [], []];
  for (const name of names) {
    const at = rank(name, term);
    if (at !== undefined) matches[at].push(name);
  }
  const found = matches.flat();
  const start = (number - 1) * size;
  return { names: found.slice(start, start + size), total: found.length };
}
