import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { isRepositoryName, parseRepositoryName } from '../../lib/protocol/names.ts';
import type { Page } from '../../lib/protocol/pages.ts';
import { isTag, parseTag } from '../../lib/protocol/tags.ts';
import { Catalog } from '../../lib/registry/catalog.ts';
import { layerLink, revisionLink, tagIndexLink, tagLink } from '../../lib/registry/layout.ts';
import type { NamePage } from '../../lib/registry/interface.ts';
import { Tags } from '../../lib/registry/tags.ts';
import { ObjectNotFound, type Listing, type ListOptions, type ObjectStore } from '../../lib/storage/store.ts';

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Keys alone, listed the way S3 does, and a count of what was asked. */
class KeyStore {
  lists = 0;
  heads = 0;
  readonly #keys: readonly string[];
  readonly #cap: number;

  /** @param cap maximum of entries in a listing: servers may have their own limit */
  constructor(keys: Iterable<string>, cap = 1000) {
    this.#keys = [...new Set(keys)].sort(byBytes);
    this.#cap = cap;
  }

  get store(): ObjectStore {
    return this as unknown as ObjectStore;
  }

  head(key: string): Promise<{ key: string }> {
    this.heads += 1;
    return this.#keys.includes(key) ? Promise.resolve({ key }) : Promise.reject(new ObjectNotFound(key));
  }

  list({ prefix = '', delimiter, startAfter = '', limit = 1000 }: ListOptions): Promise<Listing> {
    this.lists += 1;
    assert.ok(limit >= 1 && limit <= 1000, `a listing of ${limit}`);
    const most = Math.min(limit, this.#cap);
    const objects: string[] = [];
    const prefixes: string[] = [];
    let last: string | undefined;
    for (const key of this.#keys) {
      if (!key.startsWith(prefix) || byBytes(key, startAfter) <= 0) continue;
      const end = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
      const entry = end < 0 ? key : key.slice(0, end + (delimiter?.length ?? 0));
      if (entry === last || (entry !== key && startAfter.startsWith(entry))) continue;
      if (objects.length + prefixes.length === most) return Promise.resolve(listing(objects, prefixes, last));
      (entry === key ? objects : prefixes).push(entry);
      last = entry;
    }
    return Promise.resolve(listing(objects, prefixes, undefined));
  }
}

function listing(keys: readonly string[], prefixes: readonly string[], next: string | undefined): Listing {
  const objects = keys.map((key) => ({ key, size: 71, lastModified: new Date(0), etag: 'e' }));
  return { objects, prefixes, next };
}

const digests = [digestFrom('sha256', 'a'.repeat(64)), digestFrom('sha256', 'b'.repeat(64))] as const;
const repository = parseRepositoryName('team/app');

/** What is listed: how names become keys, and how a page of them is asked for. */
interface Subject {
  readonly keysOf: (name: string) => readonly string[];
  readonly list: (store: ObjectStore, page: Page) => Promise<NamePage>;
  readonly name: fc.Arbitrary<string>;
}

const catalog: Subject = {
  keysOf: (text) => {
    const name = parseRepositoryName(text);
    return [
      layerLink(name, digests[0]),
      layerLink(name, digests[1]),
      revisionLink(name, digests[0]),
      tagLink(name, parseTag('v1')),
    ];
  },
  list: async (store, page) => await new Catalog(store).list(page),
  name: fc
    .array(fc.constantFrom('a', 'a-b', 'a.b', 'a_b', 'a__b', 'a-0', 'a0', 'ab', '0', 'b', 'a--b', 'a-b-c'), {
      minLength: 1,
      maxLength: 3,
    })
    .map((components) => components.join('/')),
};

const tags: Subject = {
  // A tag that was moved once; its index is rolled up.
  keysOf: (text) => {
    const tag = parseTag(text);
    return [tagLink(repository, tag), ...digests.map((digest) => tagIndexLink(repository, tag, digest))];
  },
  list: async (store, page) => {
    try {
      return await new Tags(store).list(repository, page);
    } catch (error) {
      // Of a repository without any key.
      assert.equal((error as { failure?: unknown }).failure, 'NAME_UNKNOWN', String(error));
      return { names: [], more: false };
    }
  },
  name: fc
    .array(fc.constantFrom('v', 'V', '1', '0', '.', '-', '_', 'v1', 'v1.0', 'v1-rc', 'current', 'index'), {
      minLength: 1,
      maxLength: 4,
    })
    .map((parts) => parts.join(''))
    .filter(isTag),
};

function keysOf({ keysOf }: Subject, names: readonly string[]): string[] {
  return names.flatMap((name) => [...keysOf(name)]);
}

/** What a page is: a slice of the sorted names. */
function model(names: readonly string[], { n, last }: Page): NamePage {
  const following = [...new Set(names)].sort(byBytes).filter((name) => byBytes(name, last) > 0);
  return { names: following.slice(0, n), more: n > 0 && following.length > n };
}

/** All pages one after another, each continued at the last name of the one before. */
async function pageThrough(subject: Subject, store: ObjectStore, n: number): Promise<string[]> {
  const all: string[] = [];
  for (let last = '', more = true; more;) {
    const page = await subject.list(store, { n, last });
    all.push(...page.names);
    const end = page.names.at(-1);
    more = page.more;
    if (more) assert.ok(end !== undefined && byBytes(end, last) > 0, 'a page that leads nowhere');
    last = end ?? last;
  }
  return all;
}

const caps = fc.constantFrom(1, 2, 3, 4, 7, 1000);
const sizes = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.constantFrom(0, 12, 999, 1000));

for (const [what, subject] of Object.entries({ catalog, tags })) {
  const someNames = fc.uniqueArray(subject.name, { maxLength: 14 });
  describe(`a page of the ${what}`, () => {
    it(`a page of the ${what} is the slice of the names in byte order, and tells exactly whether more follow`, async () => {
      await fc.assert(
        fc.asyncProperty(
          someNames,
          sizes,
          fc.option(subject.name, { nil: '' }),
          caps,
          async (names, n, last, cap) => {
            const { store } = new KeyStore(keysOf(subject, names), cap);
            assert.deepEqual(await subject.list(store, { n, last }), model(names, { n, last }));
          },
        ),
        { numRuns: 3000 },
      );
    });

    it(`a page of the ${what} is right after each name and each prefix of a name`, async () => {
      await fc.assert(
        fc.asyncProperty(someNames, sizes, caps, async (names, n, cap) => {
          const { store } = new KeyStore(keysOf(subject, names), cap);
          for (const last of names)
            assert.deepEqual(
              await subject.list(store, { n, last }),
              model(names, { n, last }),
              `after ${last}`,
            );
        }),
        { numRuns: 300 },
      );
    });

    it('leads to the next, so that paging through gives every name once and in order', async () => {
      await fc.assert(
        fc.asyncProperty(someNames, fc.integer({ min: 1, max: 6 }), caps, async (names, n, cap) => {
          const { store } = new KeyStore(keysOf(subject, names), cap);
          assert.deepEqual(await pageThrough(subject, store, n), names.toSorted(byBytes));
        }),
        { numRuns: 1000 },
      );
    });
  });
}

describe('names in key order', () => {
  for (const [what, subject, names] of [
    [
      'repositories',
      catalog,
      ['a', 'a-b', 'a.b', 'a/b', 'a/0', 'ab', 'a_b', 'a-0/b', 'a0', 'a/0/a', 'a--b/0', '0', 'a/a-b'],
    ],
    [
      'tags',
      tags,
      [
        'v1',
        'v1.0',
        'v1-rc',
        'V1',
        'v1_x',
        'v1.',
        'v1-',
        'v10',
        'v',
        'v-',
        'v.1',
        'v1.0-rc.1',
        '_',
        'index',
        'current',
      ],
    ],
  ] as const)
    it(`names in key order lose no ${what} for any n, any last and any size of listings`, async () => {
      for (const cap of [1, 2, 3, 5, 1000])
        for (const last of ['', ...names])
          for (let n = 0; n <= names.length + 1; n += 1) {
            const { store } = new KeyStore(keysOf(subject, names), cap);
            const page = { n, last };
            assert.deepEqual(
              await subject.list(store, page),
              model(names, page),
              `n=${n} last=${last} in listings of ${cap}`,
            );
          }
    });

  it('lists skip invalid names and tags whose first push was interrupted', async () => {
    const junk = [
      'docker/registry/v2/repositories/README',
      'docker/registry/v2/repositories/Upper/_layers/x',
      'docker/registry/v2/repositories/team/app/_manifests/tags/-bad/current/link',
      'docker/registry/v2/repositories/team/app/_manifests/tags/v1/note',
      tagIndexLink(repository, parseTag('v0'), digests[0]),
      tagIndexLink(repository, parseTag('v1-rc'), digests[0]),
    ];
    const keys = new KeyStore([...junk, ...keysOf(tags, ['v1', 'v2', 'v1.0'])], 3);
    assert.deepEqual(await pageThrough(tags, keys.store, 2), ['v1', 'v1.0', 'v2']);
    assert.deepEqual(await pageThrough(catalog, keys.store, 2), ['team/app']);
  });

  it('lists report no more pages if only invalid names follow', async () => {
    const left = ['v2', 'v3', 'v4'].map((tag) => tagIndexLink(repository, parseTag(tag), digests[0]));
    for (const cap of [1, 2, 3, 1000]) {
      const { store } = new KeyStore([...keysOf(tags, ['v1']), ...left], cap);
      assert.deepEqual(
        await tags.list(store, { n: 1, last: '' }),
        { names: ['v1'], more: false },
        `in listings of ${cap}`,
      );
    }
  });

  it('tags are those of the repository only, not of nested or neighbouring ones', async () => {
    const beside = ['team/app/tags', 'team/app-web', 'team/app/list'].flatMap((name) => [
      tagLink(parseRepositoryName(name), parseTag('other')),
      layerLink(parseRepositoryName(name), digests[0]),
    ]);
    const { store } = new KeyStore([...beside, ...keysOf(tags, ['v1'])]);
    assert.deepEqual(await tags.list(store, { n: 100, last: '' }), { names: ['v1'], more: false });
  });
});

describe('the domain around pages', () => {
  it('a repository with layers and no tags is known', async () => {
    const { store } = new KeyStore([layerLink(repository, digests[0])]);
    assert.deepEqual(await new Tags(store).list(repository, { n: 10, last: '' }), { names: [], more: false });
    await assert.rejects(new Tags(store).list(parseRepositoryName('team'), { n: 10, last: '' }), {
      failure: 'NAME_UNKNOWN',
    });
    await assert.rejects(new Tags(store).list(parseRepositoryName('team/ap'), { n: 0, last: '' }), {
      failure: 'NAME_UNKNOWN',
    });
  });

  it('refuses an invalid last and accepts an unknown one', async () => {
    const { store } = new KeyStore(keysOf(tags, ['v1']));
    await assert.rejects(new Tags(store).list(repository, { n: 1, last: '../x' }), {
      failure: 'TAG_INVALID',
    });
    await assert.rejects(new Catalog(store).list({ n: 1, last: 'a/_' }), { failure: 'NAME_INVALID' });
    assert.deepEqual(await new Catalog(store).list({ n: 1, last: 'zzz' }), { names: [], more: false });
  });
});

describe('the bucket requests of a page', () => {
  const numbered = (count: number, make: (number: string) => string): string[] =>
    Array.from({ length: count }, (_, i) => make(String(i).padStart(4, '0')));

  async function cost(
    subject: Subject,
    names: readonly string[],
    page: Page,
  ): Promise<{ lists: number; heads: number }> {
    const keys = new KeyStore(keysOf(subject, names));
    assert.deepEqual(await subject.list(keys.store, page), model(names, page));
    return { lists: keys.lists, heads: keys.heads };
  }

  it('a page costs one listing for common names of repositories', async () => {
    const names = numbered(300, (number) => `library/image${number}`);
    for (const page of [
      { n: 100, last: '' },
      { n: 100, last: 'library/image0099' },
      { n: 100, last: 'library/image0250' },
      { n: 1000, last: '' },
    ])
      assert.deepEqual(await cost(catalog, names, page), { lists: 1, heads: 0 }, JSON.stringify(page));
  });

  it('a page costs one listing for a few tags', async () => {
    const names = ['latest', '1.0', '1.1', '1.1-alpine', '2.0', '2', '1', 'edge', 'sha-0abc', 'v1', 'v1.0'];
    assert.deepEqual(await cost(tags, names, { n: 100, last: '' }), { lists: 1, heads: 0 });
  });

  it('a page costs one listing for 490 tags and two for 1000', async () => {
    assert.deepEqual(
      await cost(
        tags,
        numbered(490, (number) => `b${number}`),
        { n: 1000, last: '' },
      ),
      { lists: 1, heads: 0 },
    );
    assert.deepEqual(
      await cost(
        tags,
        numbered(1000, (number) => `b${number}`),
        { n: 1000, last: '' },
      ),
      { lists: 2, heads: 0 },
    );
  });

  it('a page costs few requests for a name that is listed after 5,000 longer names', async () => {
    for (const [subject, names, most] of [
      [catalog, ['a', ...numbered(5000, (number) => `a-${number}`)], 3],
      [catalog, ['a', ...numbered(5000, (number) => `a/${number}`)], 3],
      [tags, ['v1', ...numbered(5000, (number) => `v1.${number}`)], 4],
    ] as const) {
      const [first = ''] = names;
      for (const last of ['', first, names[2500] ?? '']) {
        const { lists, heads } = await cost(subject, names, { n: 100, last });
        assert.ok(
          lists + heads <= most,
          `${lists} listings and ${heads} heads after ${JSON.stringify(last)}`,
        );
      }
    }
  });

  it('a page costs one listing in a catalog of 100,000 repositories', async () => {
    const names = numbered(100_000, (number) => `team-${number.slice(-2)}/app${number.slice(0, -2)}`);
    const keys = new KeyStore(names.map((name) => tagLink(parseRepositoryName(name), parseTag('v1'))));
    const sorted = names.toSorted(byBytes);
    for (const at of [50, 50_050, 99_900]) {
      const page = { n: 100, last: sorted[at - 1] ?? '' };
      const expected = { names: sorted.slice(at, at + 100), more: at < 99_900 };
      assert.deepEqual(await new Catalog(keys.store).list(page), expected);
    }
    assert.deepEqual([keys.lists, keys.heads], [3, 0]);
  });

  it('all names of a catalog cost one listing for each 998', async () => {
    const names = numbered(5000, (number) => `library/image${number}`);
    const keys = new KeyStore(names.map((name) => tagLink(parseRepositoryName(name), parseTag('v1'))));
    assert.deepEqual(await Array.fromAsync(new Catalog(keys.store).all()), names);
    assert.deepEqual([keys.lists, keys.heads], [6, 0]);
  });

  it('a page of n=0 costs no requests', async () => {
    assert.deepEqual(await cost(catalog, ['a'], { n: 0, last: '' }), { lists: 0, heads: 0 });
  });

  it('a page costs few requests for names made of many shorter names', async () => {
    const deep = Array.from({ length: 40 }, (_, i) =>
      Array(i + 1)
        .fill('a')
        .join('-'),
    );
    assert.ok(deep.every(isRepositoryName));
    const { lists, heads } = await cost(catalog, deep, { n: 10, last: '' });
    assert.ok(lists + heads <= 50, `${lists} listings and ${heads} heads`);
  });
});
