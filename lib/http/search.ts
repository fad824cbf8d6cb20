import { maxPage, parseCount } from '../protocol/pages.ts';
import { readOnce } from '../protocol/queries.ts';
import type { SearchBackend, SearchPage, SearchResults } from '../search/search-backend.ts';
import type { Caller } from '../access/access.ts';
import type { Handlers } from './app.ts';
import type { Exchange } from './exchange.ts';
import { sendJson } from './send.ts';
import { shownResults } from './shown-names.ts';

/** The page size without `n`, the same as docker's. */
const defaultSize = 25;

/** Any other term matches no name. */
const partOfName = /^[a-z0-9._/-]{0,255}$/;

/** `/v1/_ping` and `/v1/search`: the part of the Docker Registry API V1 that docker and podman use to search. */
export const search: Handlers<'search'> = {
  async GET(context) {
    const { ctx, route } = context;
    if (route.resource === 'ping') sendPing(ctx);
    else sendJson(ctx, await results(await context.search.backend(), context.query, context.caller.shows));
  },
};

function sendPing(ctx: Exchange): void {
  ctx.set('X-Docker-Registry-Standalone', 'true');
  sendJson(ctx, { standalone: true });
}

/** Docker Registry API V1, "Search". Pages start at 1. */
async function results(
  backend: SearchBackend,
  query: URLSearchParams,
  shows: Caller['shows'],
): Promise<object> {
  const term = readOnce(query, 'q') ?? '';
  const page = {
    size: Math.min(parseCount(query, 'n', defaultSize), maxPage),
    number: Math.max(1, parseCount(query, 'page', 1)),
  };
  const { names, total } = await find(backend, term.toLowerCase(), page, shows);
  return {
    query: term.slice(0, 255),
    page: page.number,
    page_size: page.size,
    num_pages: page.size === 0 ? 0 : Math.ceil(total / page.size),
    num_results: total,
    results: names.map((name) => ({ name, ...unrated })),
  };
}

/** Fields that clients expect and only Docker Hub fills. */
const unrated = { description: '', star_count: 0, is_official: false, is_automated: false };

async function find(
  backend: SearchBackend,
  term: string,
  page: SearchPage,
  shows: Caller['shows'],
): Promise<SearchResults> {
  if (!partOfName.test(term)) return { names: [], total: 0 };
  return shows === undefined
    ? await backend.search(term, page)
    : await shownResults(backend, term, page, shows);
}
