import { randomBytes } from 'node:crypto';
import { layerLink, tagLink } from '../../../lib/registry/layout.ts';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import { parseTag } from '../../../lib/protocol/tags.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { digestOf, someName } from '../client.ts';
import type { Bench, Case, Expectation } from './case.ts';

const digest = parseDigest(digestOf(Buffer.from('any')));

/** In byte order, and in another order as keys: each but the first begins with one of the others. */
const names = ['a', 'a-b', 'a-b/c', 'a.b', 'a/0', 'a/_not', 'a/b', 'a0', 'a_b', 'ab'].filter(
  (name) => !name.includes('/_'),
);

/** Lays repositories into the store, all below one random name, so that a page after it holds just these. */
async function layRepositories({ store }: Bench, below: readonly string[]): Promise<string> {
  const parent = `zz${randomBytes(6).toString('hex')}`;
  await lay(
    store,
    below.map((name) => layerLink(parseRepositoryName(`${parent}/${name}`), digest)),
  );
  return parent;
}

async function lay(store: ObjectStore, keys: readonly string[]): Promise<void> {
  for (let i = 0; i < keys.length; i += 64)
    await Promise.all(keys.slice(i, i + 64).map(async (key) => await store.put(key, Buffer.from(digest))));
}

async function layTags({ store }: Bench, tags: readonly string[]): Promise<string> {
  const name = parseRepositoryName(someName());
  await lay(
    store,
    tags.map((tag) => tagLink(name, parseTag(tag))),
  );
  return name;
}

const invalidPage: Expectation = { status: 400, errors: ['PAGINATION_NUMBER_INVALID'] };
const tags = ['V1', '_x', 'v1', 'v1-rc', 'v1.0', 'v1.0-rc', 'v10', 'v1_0'].sort();

/** GETs a page of the tags above. */
function tagPage(
  title: string,
  query: string,
  expected: readonly string[],
  next?: { n: number; last: string },
): Case {
  return {
    title,
    async act(bench) {
      const name = await layTags(bench, tags);
      const link = next && `</v2/${name}/tags/list?last=${next.last}&n=${next.n}>; rel="next"`;
      return {
        ask: { method: 'GET', path: `/v2/${name}/tags/list${query}` },
        expect: {
          status: 200,
          headers: { link, 'content-type': 'application/json' },
          json: { name, tags: expected },
        },
      };
    },
  };
}

const tagCases: readonly Case[] = [
  tagPage('tags come in byte order, those that begin others among them', '', tags),
  tagPage('a page of tags names the next', '?n=3', tags.slice(0, 3), { n: 3, last: tags[2] ?? '' }),
  tagPage('a page of tags goes on after the last', `?n=3&last=${tags[2] ?? ''}`, tags.slice(3, 6), {
    n: 3,
    last: tags[5] ?? '',
  }),
  tagPage('the last page of tags names no next', `?n=3&last=${tags[5] ?? ''}`, tags.slice(6)),
  tagPage('a page that just holds all tags names no next', `?n=${tags.length}`, tags),
  tagPage(
    'the last tag need not exist',
    '?last=v1.',
    tags.filter((tag) => tag > 'v1.'),
  ),
  tagPage('a page of no tags is empty and names no next', '?n=0', []),
  {
    title: 'a page of more than 1000 tags is cut to 1000',
    async act(bench) {
      const many = Array.from({ length: 1001 }, (_, i) => `t${String(i).padStart(4, '0')}`);
      const name = await layTags(bench, many);
      return {
        ask: { method: 'GET', path: `/v2/${name}/tags/list?n=1000000000` },
        expect: {
          status: 200,
          headers: { link: `</v2/${name}/tags/list?last=t0999&n=1000>; rel="next"` },
          json: { name, tags: many.slice(0, 1000) },
        },
      };
    },
  },
  {
    title: 'a repository without tags has an empty list',
    async act({ client }) {
      const name = someName();
      await client.pushBlob(name, Buffer.from('layer'));
      return {
        ask: { method: 'GET', path: `/v2/${name}/tags/list` },
        expect: { status: 200, json: { name, tags: [] } },
      };
    },
  },
  {
    title: 'the tags of an unknown repository are 404',
    async act() {
      return await Promise.resolve({
        ask: { method: 'GET', path: `/v2/${someName()}/tags/list` },
        expect: { status: 404, errors: ['NAME_UNKNOWN'] },
      });
    },
  },
];

/** GETs a page of repositories that lie below a random name. */
function catalogPage(
  title: string,
  page: { n: number; last?: string },
  expected: readonly string[],
  next: string | undefined,
): Case {
  return {
    title,
    async act(bench) {
      const parent = await layRepositories(bench, names);
      const last = page.last === undefined ? parent : `${parent}/${page.last}`;
      const link =
        next && `</v2/_catalog?last=${encodeURIComponent(`${parent}/${next}`)}&n=${page.n}>; rel="next"`;
      return {
        ask: { method: 'GET', path: `/v2/_catalog?n=${page.n}&last=${encodeURIComponent(last)}` },
        expect: {
          status: 200,
          headers: next === undefined ? {} : { link },
          json: { repositories: expected.map((name) => `${parent}/${name}`) },
        },
      };
    },
  };
}

const catalogCases: readonly Case[] = [
  catalogPage(
    'repositories come in byte order, those that begin others among them',
    { n: names.length },
    names,
    undefined,
  ),
  catalogPage('a page of the catalog names the next', { n: 3 }, names.slice(0, 3), names[2]),
  ...names
    .slice(0, -2)
    .map((last, i) =>
      catalogPage(
        `the catalog goes on after ${last}`,
        { n: 2, last },
        names.slice(i + 1, i + 3),
        i + 3 < names.length ? names[i + 2] : undefined,
      ),
    ),
  {
    title: 'the catalog shows a repository once anything was pushed to it',
    async act({ client }) {
      const parent = `yy${randomBytes(6).toString('hex')}`;
      await client.pushImage(`${parent}/b/c/d/e/f`, 'v1');
      return {
        ask: { method: 'GET', path: `/v2/_catalog?n=1&last=${parent}` },
        expect: { status: 200, json: { repositories: [`${parent}/b/c/d/e/f`] } },
      };
    },
  },
  {
    title: 'the catalog ends without a next page',
    async act() {
      return await Promise.resolve({
        ask: { method: 'GET', path: '/v2/_catalog?last=zzzzzzzz' },
        expect: { status: 200, headers: { link: undefined }, json: { repositories: [] } },
      });
    },
  },
  {
    title: 'a page of no repositories is empty and names no next',
    async act(bench) {
      await layRepositories(bench, names);
      return {
        ask: { method: 'GET', path: '/v2/_catalog?n=0' },
        expect: { status: 200, headers: { link: undefined }, json: { repositories: [] } },
      };
    },
  },
];

const pageNumberCases: readonly Case[] = ['-1', 'abc', '', '1.5', '0x10', '1&n=2'].map((n) => ({
  title: `n=${n} is refused`,
  async act() {
    return await Promise.resolve({
      ask: { method: 'GET', path: `/v2/_catalog?n=${n}` },
      expect: invalidPage,
    });
  },
}));

export const listCases: readonly Case[] = [...tagCases, ...catalogCases, ...pageNumberCases];
