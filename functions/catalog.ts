import { nextPageLink, parsePage } from '../lib/protocol/pages.ts';
import type { Operations } from './app.ts';
import { lambdaHandler } from './lambda.ts';

/** Repositories of a page when `n` is not given, as in distribution. */
const defaultPage = 100;

/** `/v2/_catalog`: the repositories. */
export const catalog: Operations<'catalog'> = {
  async GET({ ctx, registry, query }) {
    const page = parsePage(query, defaultPage);
    const { names, more } = await registry.catalog.list(page);
    if (more) ctx.set('Link', nextPageLink('/v2/_catalog', { n: page.n, last: names.at(-1) ?? '' }));
    ctx.body = { repositories: names };
    ctx.set('Content-Type', 'application/json');
  },
};

export const handler = lambdaHandler({ catalog });
