import type { Context } from 'koa';
import { maxPage, parseCount } from '../protocol/pages.ts';
import { readOnce } from '../protocol/queries.ts';
import type { SearchBackend, SearchPage, SearchResults } from '../search/search-backend.ts';
import type { Operations } from './app.ts';

/** Results of a page when `n` is not given, as docker asks for. */
const defaultSize = 25;

/** What names are made of, and as long as they may be: anything else is in none. */
const partOfName = /^[a-z0-9._/-]{0,255}$/;

/** `/v1/_ping` and `/v1/search`: all that `docker search` and `podman search` need of the Docker Registry API V1. */
export const search: Operations<'search'> = {
  async GET(call) {
    const { ctx, target } = call;
    if (target.resource === 'ping') sendPing(ctx);
    else ctx.body = await results(await call.search.backend(), call.query);
    ctx.set('Content-Type', 'application/json');
  },
};

function sendPing(ctx: Context): void {
  ctx.set('X-Docker-Registry-Standalone', 'true');
  ctx.body = { standalone: true };
}

/** Docker Registry API V1, "Search". Pages are counted from 1. */
async function results(backend: SearchBackend, query: URLSearchParams): Promise<object> {
  const term = readOnce(query, 'q') ?? '';
  const page = {
    size: Math.min(parseCount(query, 'n', defaultSize), maxPage),
    number: Math.max(1, parseCount(query, 'page', 1)),
  };
  // Names are in lower case, however they are searched for.
  const { names, total } = await find(backend, term.toLowerCase(), page);
  return {
    query: term.slice(0, 255),
    page: page.number,
    page_size: page.size,
    num_pages: page.size === 0 ? 0 : Math.ceil(total / page.size),
    num_results: total,
    results: names.map((name) => ({ name, ...unrated })),
  };
}

/** What clients show beside a name, and no registry but Docker Hub knows. */
const unrated = { description: '', star_count: 0, is_official: false, is_automated: false };

async function find(backend: SearchBackend, term: string, page: SearchPage): Promise<SearchResults> {
  return partOfName.test(term) ? await backend.search(term, page) : { names: [], total: 0 };
}
