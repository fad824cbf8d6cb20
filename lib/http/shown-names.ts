import { randomInt } from 'node:crypto';
import type { Caller } from '../access/access.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { maxPage, type Page } from '../protocol/pages.ts';
import type { NamePage } from '../registry/interface.ts';
import type { SearchBackend, SearchPage, SearchResults } from '../search/search-backend.ts';

/** Names of which a page of a filtered list is made at most: otherwise one that may see little would cost much. */
const maxExamined = 2 * maxPage;

/**
 * How many names a page examines: with a fixed number, a caller could find hidden names by looking for the `last` from which a
 * page has no next one.
 */
function randomLimit(): number {
  const half = maxExamined / 2;
  return half + Array.from({ length: 4 }, () => randomInt(half / 4 + 1)).reduce((sum, each) => sum + each);
}

type Shows = NonNullable<Caller['shows']>;

/** A page of the names that a caller may see. */
export interface ShownPage {
  readonly names: readonly string[];
  /** The name after which the next page begins, which the caller may not be allowed to see; undefined on the last page. */
  readonly next: string | undefined;
}

/**
 * A page of the catalog. Of a filtered one it may have fewer names than asked for, or none, and yet a next page.
 * @param list reads the whole catalog, page by page
 */
export async function shownPage(
  list: (page: Page) => Promise<NamePage>,
  page: Page,
  shows: Caller['shows'],
): Promise<ShownPage> {
  if (shows !== undefined) return await filteredPage(list, page, shows);
  const { names, more } = await list(page);
  return { names, next: more ? (names.at(-1) ?? '') : undefined };
}

async function filteredPage(
  list: (page: Page) => Promise<NamePage>,
  { n, last }: Page,
  shows: Shows,
): Promise<ShownPage> {
  const names: string[] = [];
  const limit = randomLimit();
  let [at, examined, more] = [last, 0, n > 0];
  while (more && examined < limit) {
    const size = Math.min(examined === 0 ? n : maxPage, limit - examined);
    const page = await list({ n: size, last: at });
    for (const name of page.names) {
      at = name;
      examined++;
      if (shows(name as RepositoryName)) names.push(name);
      // Whether only hidden names come next is not the caller's to know: a full page always has a next one.
      if (names.length === n) return { names, next: at };
    }
    ({ more } = page);
  }
  return { names, next: more ? at : undefined };
}

/** Results of a search among the first {@link maxExamined} that there are for anybody. */
export async function shownResults(
  backend: Pick<SearchBackend, 'search'>,
  term: string,
  { size, number }: SearchPage,
  shows: Shows,
): Promise<SearchResults> {
  const names: string[] = [];
  for (let page = 1; page <= maxExamined / maxPage; page++) {
    const found = await backend.search(term, { size: maxPage, number: page });
    names.push(...found.names.filter((name) => shows(name as RepositoryName)));
    if (found.names.length < maxPage) break;
  }
  return { names: names.slice((number - 1) * size, number * size), total: names.length };
}
