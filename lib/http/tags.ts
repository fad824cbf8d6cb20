import { maxPage, nextPageLink, parsePage } from '../protocol/pages.ts';
import type { Handlers } from './app.ts';
import { sendJson, warnOfStale } from './send.ts';

/** `/v2/<name>/tags/list`: the tags of a repository (end-8). */
export const tags: Handlers<'tags'> = {
  async GET({ ctx, route: { name }, registry, query, urls }) {
    const page = parsePage(query, maxPage);
    const { names, more, next, isStale } = await registry.tags.list(name, page);
    if (isStale === true) warnOfStale(ctx);
    const path = urls.path(`/v2/${name}/tags/list`);
    if (more) ctx.set('Link', nextPageLink(path, { n: page.n, last: next ?? names.at(-1) ?? '' }));
    sendJson(ctx, { name, tags: names });
  },
};
