import { parseRepositoryName } from '../protocol/names.ts';
import { nextPageLink, parsePage } from '../protocol/pages.ts';
import type { Handlers } from './app.ts';

/** The page size without `n`, as in distribution. */
const defaultPage = 100;

/** `/v2/_catalog`: the repositories. */
export const catalog: Handlers<'catalog'> = {
  async GET({ ctx, search, query }) {
    const page = parsePage(query, defaultPage);
    // Rejects an invalid `last` on every backend.
    if (page.last !== '') parseRepositoryName(page.last);
    const { names, more } = await (await search.backend()).list(page);
    if (more) ctx.set('Link', nextPageLink('/v2/_catalog', { n: page.n, last: names.at(-1) ?? '' }));
    ctx.body = { repositories: names };
    ctx.set('Content-Type', 'application/json');
  },
};
