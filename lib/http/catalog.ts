import { RegistryError } from '../protocol/errors.ts';
import { parseRepositoryName, type RepositoryName } from '../protocol/names.ts';
import { nextPageLink, parsePage, type Page } from '../protocol/pages.ts';
import { readOnce } from '../protocol/queries.ts';
import type { Handlers, RequestContext } from './app.ts';
import { sendJson } from './send.ts';
import { shownPage } from './shown-names.ts';

/** The page size without `n`, as in distribution. */
const defaultPage = 100;

/** `/v2/_catalog`: the repositories that the caller may see. */
export const catalog: Handlers<'catalog'> = {
  async GET(call) {
    const { ctx, search, caller } = call;
    const page = readPage(call);
    const backend = await search.backend();
    const { names, next } = await shownPage(async (of) => await backend.list(of), page, caller.shows);
    if (next !== undefined) ctx.set('Link', linkAfter(call, page, next));
    sendJson(ctx, { repositories: names });
  },
};

type CatalogContext = RequestContext<'catalog'>;

function readPage({ query, cursors }: CatalogContext): Page {
  const { n, last } = parsePage(query, defaultPage);
  // The same response from every backend.
  if (last !== '') parseRepositoryName(last);
  const cursor = readOnce(query, 'cursor');
  if (cursor === null) return { n, last };
  const name = cursors.decrypt(cursor);
  if (name === undefined)
    throw new RegistryError('QUERY_INVALID', 'cursor is not one of this registry; use the Link as sent');
  return { n, last: name };
}

/** A name that the caller may not see is encrypted. */
function linkAfter(
  { caller: { shows }, cursors, urls }: CatalogContext,
  { n, last }: Page,
  next: string,
): string {
  const path = urls.path('/v2/_catalog');
  const name = next as RepositoryName;
  const isSecret = shows !== undefined && next !== '' && !shows(name);
  const cursor = isSecret ? cursors.encrypt(name) : undefined;
  if (isSecret && cursor === undefined) return nextPageLink(path, { n, last });
  return cursor === undefined
    ? nextPageLink(path, { n, last: next })
    : `<${path}?${new URLSearchParams({ cursor, n: String(n) }).toString()}>; rel="next"`;
}
