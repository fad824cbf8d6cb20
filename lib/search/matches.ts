import type { SearchPage, SearchResults } from './search-backend.ts';

/** How near a name is to a term: the term itself, its beginning, or anywhere in it; undefined for none of these. */
function nearness(name: string, term: string): 0 | 1 | 2 | undefined {
  if (name === term) return 0;
  if (name.startsWith(term)) return 1;
  return name.includes(term) ? 2 : undefined;
}

/**
 * The page of names that contain a term, nearest first.
 * @param names in byte order, which names equally near keep
 */
export function pageOfMatches(
  names: Iterable<string>,
  term: string,
  { size, number }: SearchPage,
): SearchResults {
  const matches: [string[], string[], string[]] = [[], [], []];
  for (const name of names) {
    const near = nearness(name, term);
    if (near !== undefined) matches[near].push(name);
  }
  const found = matches.flat();
  const start = (number - 1) * size;
  return { names: found.slice(start, start + size), total: found.length };
}
