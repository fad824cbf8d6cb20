import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fillStore } from '../search/bucket-ground.ts';
import { Client } from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

const names = ['app', 'app-web', 'library/app', 'library/app_2', 'other', 'team/app/0'];

/** What a search answers, as clients read it. */
interface Found {
  readonly num_results: number;
  readonly num_pages: number;
  readonly page: number;
  readonly page_size: number;
  readonly query: string;
  readonly results: readonly { readonly name: string }[];
}

describe('searches and the catalog', () => {
  let planes: Planes;

  before(async () => {
    planes = await startPlanes();
    await fillStore(await planes.storage.open(), names);
  });

  after(async () => {
    await planes.stop();
  });

  for (const plane of ['server', 'gateway'] as const)
    describe(plane === 'server' ? 'of the streaming server' : 'of the functions', () => {
      const get = async (path: string) => await new Client(planes[plane]).send({ method: 'GET', path });
      const found = async (query: string) => {
        const { status, headers, body } = await get(`/v1/search${query}`);
        assert.equal(status, 200, body.toString());
        assert.equal(headers['content-type'], 'application/json');
        assert.equal(headers['x-content-type-options'], 'nosniff');
        return JSON.parse(body.toString()) as Found;
      };
      const namesOf = ({ results }: Found) => results.map(({ name }) => name);

      it('search answers the ping of docker', async () => {
        const { status, headers, body } = await get('/v1/_ping');
        assert.equal(status, 200);
        assert.equal(headers['x-docker-registry-standalone'], 'true');
        assert.deepEqual(JSON.parse(body.toString()), { standalone: true });
      });

      it('search returns the exact match, then prefix matches, then other matches', async () => {
        const { results, ...rest } = await found('?q=app');
        assert.deepEqual(
          results.map(({ name }) => name),
          ['app', 'app-web', 'library/app', 'library/app_2', 'team/app/0'],
        );
        assert.deepEqual(results[0], {
          name: 'app',
          description: '',
          star_count: 0,
          is_official: false,
          is_automated: false,
        });
        assert.deepEqual(rest, { query: 'app', num_results: 5, num_pages: 1, page: 1, page_size: 25 });
      });

      it('search returns pages', async () => {
        const second = await found('?q=app&n=2&page=2');
        assert.deepEqual(namesOf(second), ['library/app', 'library/app_2']);
        assert.partialDeepStrictEqual(second, { num_results: 5, num_pages: 3, page: 2, page_size: 2 });
        for (const query of ['?q=app&n=2&page=4', '?q=app&page=99999999999999999999', '?q=app&n=0'])
          assert.deepEqual(namesOf(await found(query)), [], query);
        assert.deepEqual(namesOf(await found('?q=app&page=0')).length, 5);
        assert.equal((await found('?q=app&n=1000000000')).page_size, 1000);
      });

      for (const [query, expected] of [
        ['', names.length],
        ['?q=', names.length],
        ['?q=APP', 5],
        ['?q=_', 1],
        ['?q=%25', 0],
        ['?q=%00', 0],
        ['?q=%27%3B%20DROP%20TABLE%20repositories%3B--', 0],
        ['?q=%22', 0],
        ['?q=%ff', 0],
        [`?q=${'a'.repeat(9000)}`, 0],
        [`?q=${'a'.repeat(256)}`, 0],
        ['?other=x', names.length],
      ] as const)
        it(`search finds ${expected} for ${query.slice(0, 60)}`, async () => {
          const { num_results, results } = await found(query);
          assert.equal(num_results, expected);
          assert.equal(results.length, expected);
        });

      for (const [query, code] of [
        ['?q=a&n=-1', 'PAGINATION_NUMBER_INVALID'],
        ['?q=a&n=abc', 'PAGINATION_NUMBER_INVALID'],
        ['?q=a&page=-1', 'PAGINATION_NUMBER_INVALID'],
        ['?q=a&page=1.5', 'PAGINATION_NUMBER_INVALID'],
        ['?q=a&n=1&n=2', 'PAGINATION_NUMBER_INVALID'],
        ['?q=a&q=b', ''],
      ] as const)
        it(`search refuses ${query} with an error of the spec`, async () => {
          const { status, body } = await get(`/v1/search${query}`);
          assert.equal(status, 400);
          const [error] = (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors;
          assert.ok(error !== undefined && (code === '' || error.code === code), body.toString());
        });

      for (const method of ['POST', 'PUT', 'DELETE'])
        it(`search refuses ${method}`, async () => {
          const { status, headers } = await new Client(planes[plane]).send({ method, path: '/v1/search' });
          assert.equal(status, 405);
          assert.match(headers.allow ?? '', /GET/);
        });

      it('search is not served at other paths of the old API', async () => {
        for (const path of [
          '/v1/',
          '/v1/users',
          '/v1/search/x',
          '/v2/search',
          '/v1/_catalog',
          '/v1/repositories/a/tags',
        ])
          assert.equal((await get(path)).status, 404, path);
      });

      it('each page of the catalog links to the next, except the last', async () => {
        const listed: string[] = [];
        let pages = 0;
        for (let path: string | undefined = '/v2/_catalog?n=2'; path !== undefined; pages++) {
          const { headers, body } = await get(path);
          listed.push(...(JSON.parse(body.toString()) as { repositories: string[] }).repositories);
          const link = headers['link'] as string | undefined;
          if (link !== undefined) assert.match(link, /^<\/v2\/_catalog\?last=[^>]+&n=2>; rel="next"$/);
          path = link?.slice(1, link.indexOf('>'));
        }
        assert.deepEqual(listed, names);
        assert.equal(pages, 3);
      });

      it('the catalog is an empty list if no repository follows', async () => {
        const { body, headers } = await get('/v2/_catalog?last=zzz');
        assert.equal(body.toString(), '{"repositories":[]}');
        assert.equal(headers['link'], undefined);
      });

      it('the catalog refuses an invalid last', async () => {
        for (const last of ['A', '..', 'a%00', '%27', 'a'.repeat(300)])
          assert.equal((await get(`/v2/_catalog?last=${last}`)).status, 400, last);
      });
    });
});
