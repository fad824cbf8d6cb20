import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import fc from 'fast-check';

import { compareKeys, type Listing, type ListOptions, type ObjectStore } from '../../lib/storage/store.ts';
import type { Place } from './place.ts';

/** Among them neighbours that an order by folders, by UTF-16 or by a locale would swap. */
const KEYS = [
  ' leading space',
  '+plus',
  '0',
  '100%',
  'a b',
  'a+b',
  'a-b',
  'a-b.c/x',
  'a.b',
  'a/_layers/sha256/1/link',
  'a/_manifests/revisions/1/link',
  'a/_manifests/tags/1.0/current/link',
  'a/_manifests/tags/1.0/index/sha256/1/link',
  'a/_manifests/tags/1.0/index/sha256/2/link',
  'a/_manifests/tags/1/current/link',
  'a/_manifests/tags/1/index/sha256/1/link',
  'a/b-c/_layers/link',
  'a/b/_layers/link',
  'a/b/c',
  'a/b/d/e/f',
  'a/b0',
  'a0',
  'a%2Fb',
  'aa',
  'a:b',
  'a_b',
  'a~b',
  'b/only/deep/one',
  'c',
  'd-/x',
  'd/x',
  'd0/x',
  'é',
  '中文/层',
  '中文/镜像',
  '中文0',
  '\uff5e',
  '\ufffd',
  '\u{1f4e6}/a',
];

const SORTED = KEYS.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

export interface Entries {
  readonly objects: readonly string[];
  readonly prefixes: readonly string[];
}

/** The whole listing of these keys, by the letter of ListOptions. */
export function expectedEntries(sorted: readonly string[], options: ListOptions): Entries {
  const { prefix = '', delimiter, startAfter = '' } = options;
  const objects: string[] = [];
  const prefixes = new Set<string>();
  for (const key of sorted) {
    if (!key.startsWith(prefix) || Buffer.compare(Buffer.from(key), Buffer.from(startAfter)) <= 0) continue;
    const at = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
    const rolledUp = at < 0 ? undefined : key.slice(0, at + (delimiter?.length ?? 0));
    if (rolledUp === undefined) objects.push(key);
    else if (!startAfter.startsWith(rolledUp)) prefixes.add(rolledUp);
  }
  return { objects, prefixes: [...prefixes] };
}

/** All pages of a listing put together; on the way, each page must keep the rules of one. */
export async function allPages(store: ObjectStore, options: ListOptions): Promise<Entries> {
  const objects: string[] = [];
  const prefixes: string[] = [];
  let { startAfter } = options;
  let last = '';
  for (;;) {
    const page = await store.list(startAfter === undefined ? options : { ...options, startAfter });
    const entries = [...page.objects.map(({ key }) => key), ...page.prefixes].sort(compareKeys);
    assert.ok(entries.length <= (options.limit ?? 1000), `${entries.length} entries`);
    assert.ok(compareKeys(entries[0] ?? '\u{10ffff}', last) > 0, `${entries[0] ?? ''} not after ${last}`);
    objects.push(...page.objects.map(({ key }) => key));
    prefixes.push(...page.prefixes);
    if (page.next === undefined) return { objects, prefixes };
    assert.ok(startAfter === undefined || compareKeys(page.next, startAfter) > 0, 'no progress');
    last = entries.at(-1) ?? last;
    startAfter = page.next;
  }
}

/** The key's first characters, also none or all of them; never half of one. */
function startOf(key: string, length: number): string {
  return Array.from(key).slice(0, length).join('');
}

/** Listings of all kinds under a folder that holds these keys. */
export function listOptionsOf(base: string, keys: readonly string[]): fc.Arbitrary<ListOptions> {
  const start = fc
    .tuple(
      fc.constantFrom(...keys),
      fc.nat({ max: 50 }),
      fc.constantFrom('', '', '', '/', '!', 'zz', '\u{1f4e6}'),
    )
    .map(([key, length, more]) => base + startOf(key, length) + more);
  return fc
    .record(
      {
        delimiter: fc.constantFrom('/', '/', '/_', '/index/', '/_manifests/tags/', '-', 'b/', 'b', '文'),
        startAfter: fc.oneof(
          start,
          fc.constantFrom(...keys).map((key) => base + key),
        ),
        limit: fc.constantFrom(1, 2, 3, 7, 1000),
      },
      { requiredKeys: [] },
    )
    .chain((options) =>
      fc.oneof(fc.constant(base), start).map((prefix): ListOptions => ({ ...options, prefix })),
    );
}

export function listingContract(place: Place): void {
  describe('listing', () => {
    const base = place.fresh();
    const under = (keys: readonly string[]) => keys.map((key) => base + key);
    const sorted = under(SORTED);
    const list = async (options: ListOptions): Promise<Listing> =>
      await place.store.list({ ...options, prefix: base + (options.prefix ?? '') });
    const entriesOf = async (options: ListOptions): Promise<Entries> => {
      const { objects, prefixes } = await list(options);
      return { objects: objects.map(({ key }) => key), prefixes };
    };

    before(async () => {
      for (const key of sorted.toReversed()) await place.store.put(key, Buffer.from(key));
      await place.listed({ prefix: base }, ({ objects }) => objects.length === sorted.length);
    });

    it('listing is in the byte order of UTF-8, all of it on one page', async () => {
      const { objects, prefixes, next } = await list({});
      assert.deepEqual(
        objects.map(({ key }) => key),
        sorted,
      );
      assert.deepEqual(prefixes, []);
      assert.equal(next, undefined);
    });

    it('a listing describes each object as head does', async () => {
      for (const object of (await list({ prefix: 'a' })).objects) {
        const head = await place.other.head(object.key);
        const second = 1000;
        assert.ok(Math.abs(object.lastModified.getTime() - head.lastModified.getTime()) < second);
        assert.deepEqual([object.key, object.size, object.etag], [head.key, head.size, head.etag]);
      }
    });

    it('takes a prefix that does not end at a slash', async () => {
      const { objects } = await entriesOf({ prefix: 'a/b' });
      assert.deepEqual(
        objects,
        under(['a/b-c/_layers/link', 'a/b/_layers/link', 'a/b/c', 'a/b/d/e/f', 'a/b0']),
      );
      assert.deepEqual((await entriesOf({ prefix: 'a/b/c' })).objects, under(['a/b/c']));
    });

    it('a listing is empty under an unused prefix', async () => {
      for (const prefix of ['none', 'none/', 'a/b/c/', 'c/', 'a//', '/', '../', './', 'a/b/d/e/f/g']) {
        assert.deepEqual(await list({ prefix, delimiter: '/' }), {
          objects: [],
          prefixes: [],
          next: undefined,
        });
      }
    });

    it('rolls up at a slash', async () => {
      assert.deepEqual(await entriesOf({ prefix: 'a/', delimiter: '/' }), {
        objects: under(['a/b0']),
        prefixes: under(['a/_layers/', 'a/_manifests/', 'a/b-c/', 'a/b/']),
      });
    });

    it('rolls up at delimiters of several characters', async () => {
      assert.deepEqual(
        (await entriesOf({ prefix: 'a', delimiter: '/_' })).prefixes,
        under(['a/_', 'a/b-c/_', 'a/b/_']),
      );
      const tags = 'a/_manifests/tags/';
      assert.deepEqual(await entriesOf({ prefix: tags, delimiter: '/index/' }), {
        objects: under([`${tags}1.0/current/link`, `${tags}1/current/link`]),
        prefixes: under([`${tags}1.0/index/`, `${tags}1/index/`]),
      });
      assert.deepEqual((await entriesOf({ delimiter: '/only/deep/o' })).prefixes, under(['b/only/deep/o']));
    });

    it('looks for the delimiter only after the prefix', async () => {
      assert.deepEqual(await entriesOf({ prefix: 'a/b/', delimiter: '/' }), {
        objects: under(['a/b/c']),
        prefixes: under(['a/b/_layers/', 'a/b/d/']),
      });
      assert.deepEqual((await entriesOf({ prefix: 'd/', delimiter: 'd/' })).objects, under(['d/x']));
    });

    it('starts after any string, whether it is a key or not', async () => {
      for (const startAfter of ['a/b/c', 'a/b', 'a/b/', 'a/b/c0', 'a/b/c/d', 'a', '中', '\u{1f4e6}', '~']) {
        const { objects } = await entriesOf({ startAfter: base + startAfter });
        assert.deepEqual(objects, expectedEntries(sorted, { startAfter: base + startAfter }).objects);
      }
      assert.deepEqual((await entriesOf({ startAfter: '!' })).objects, sorted);
      assert.deepEqual((await entriesOf({ startAfter: 'contract0' })).objects, []);
    });

    it('counts the rolled-up prefix it starts in as listed', async () => {
      for (const startAfter of ['a/b/', 'a/b/c', 'a/b/0', 'a/b/zz']) {
        assert.deepEqual(await entriesOf({ prefix: 'a/', delimiter: '/', startAfter: base + startAfter }), {
          objects: under(['a/b0']),
          prefixes: [],
        });
      }
      // This one sorts before the prefix, not below it.
      const { prefixes } = await entriesOf({ prefix: 'a/', delimiter: '/', startAfter: `${base}a/b` });
      assert.deepEqual(prefixes, under(['a/b-c/', 'a/b/']));
    });

    it('a listing gives the same in pages of one', async () => {
      for (const delimiter of [undefined, '/', '/_', '/index/', 'b']) {
        const options = { prefix: base, limit: 1, ...(delimiter === undefined ? {} : { delimiter }) };
        assert.deepEqual(await allPages(place.store, options), expectedEntries(sorted, options));
      }
    });

    it('a listing reports the last page, even if it is full', async () => {
      assert.equal((await list({ limit: sorted.length })).next, undefined);
      assert.notEqual((await list({ limit: sorted.length - 1 })).next, undefined);
      if (place.options.exactEnds)
        assert.equal((await list({ prefix: 'd', delimiter: '/', limit: 3 })).next, undefined);
      assert.notEqual((await list({ prefix: 'd', delimiter: '/', limit: 2 })).next, undefined);
    });

    it('a listing agrees with a plain model', async () => {
      await fc.assert(
        fc.asyncProperty(listOptionsOf(base, SORTED), async (options) => {
          assert.deepEqual(await allPages(place.store, options), expectedEntries(sorted, options));
        }),
        { seed: 1, numRuns: place.options.runs },
      );
    });
  });
}
