import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import type { Page } from '../../lib/protocol/pages.ts';
import { Catalog } from '../../lib/registry/catalog.ts';
import { inParallel } from '../../lib/concurrency/in-parallel.ts';
import {
  layerLink,
  repositoriesPrefix,
  repositoryDelimiter,
  revisionLink,
  tagIndexDelimiter,
  tagIndexLink,
  tagLink,
  tagsPrefix,
} from '../../lib/registry/layout.ts';
import type { NamePage } from '../../lib/registry/interface.ts';
import { listObjects } from '../../lib/registry/list-objects.ts';
import { Tags } from '../../lib/registry/tags.ts';
import { compareKeys, type ListOptions, type ObjectStore } from '../../lib/storage/store.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { onMinio, onScs, onSwift, onVersitygw, type BucketKind } from '../servers/buckets.ts';
import { requires, type ServerName } from '../servers/requires.ts';
import { folderStorage } from '../servers/storage.ts';
import { allPages, expectedEntries } from './contract-listing.ts';
import { poll } from './place.ts';

/** A store that is empty, and as many more on the same server as a test wants. */
interface Stores {
  newStore(): Promise<ObjectStore>;
  stop(): Promise<void>;
}

interface StoreKind {
  readonly name: string;
  /** Sets of keys that are tried, and how many listings of each. */
  readonly sets: number;
  readonly listings: number;
  readonly needs: readonly ServerName[];
  start(): Promise<Stores>;
}

const inMemory: StoreKind = {
  name: 'memory',
  sets: 20,
  listings: 50,
  needs: [],
  start: () =>
    Promise.resolve({ newStore: () => Promise.resolve(new MemoryStore()), stop: () => Promise.resolve() }),
};

const inFolders: StoreKind = {
  name: 'a folder',
  sets: 3,
  listings: 50,
  needs: [],
  start() {
    const opened: Awaited<ReturnType<typeof folderStorage>>[] = [];
    return Promise.resolve({
      newStore: async () => {
        const storage = await folderStorage();
        opened.push(storage);
        return await storage.open();
      },
      stop: () => {
        for (const storage of opened) storage.remove();
        return Promise.resolve();
      },
    });
  },
};

function inBuckets(
  kind: BucketKind,
  tried: Pick<StoreKind, 'sets' | 'listings'>,
  more?: Record<string, string>,
): StoreKind {
  return {
    ...kind,
    ...tried,
    async start() {
      const buckets = await kind.start();
      const newStore = async () => await (await buckets.newBucket(more)).open();
      return {
        newStore,
        stop: async () => {
          await buckets.stop();
        },
      };
    },
  };
}

const kinds = [
  inMemory,
  inFolders,
  inBuckets(onScs, { sets: 3, listings: 50 }),
  inBuckets(onSwift, { sets: 1, listings: 10 }),
  ...[onMinio, onVersitygw].map((kind) =>
    inBuckets(kind, { sets: 2, listings: 40 }, { [`${kind.prefix}ROOTDIRECTORY`]: 'team/root' }),
  ),
];

/** Neighbours whose order by bytes is not that by folders: `a-b/…`, `a.b/…`, `a/…`, `a0/…`. */
const components = ['a', 'a-b', 'a--b', 'a.b', 'a0', 'ab', 'b', 'b-0'];
const tagNames = ['1', '1-a', '1.0', '1.0-b', '10', 'v', 'v-1', 'v_1'];
const digestOf = (number: number) => digestFrom('sha256', number.toString(16).padStart(64, '0'));

/** The keys of a repository: as many layers, manifests and past links of its tags as it is given numbers for. */
function keysOf(
  name: string,
  layers: number,
  manifests: number,
  tags: readonly [string, number][],
): string[] {
  const repository = parseRepositoryName(name);
  const digests = (count: number) => Array.from({ length: count }, (_, i) => digestOf(i));
  return [
    ...digests(layers).map((digest) => layerLink(repository, digest)),
    ...digests(manifests).map((digest) => revisionLink(repository, digest)),
    ...tags.flatMap(([tag, past]) => [
      tagLink(repository, parseTag(tag)),
      ...digests(past).map((digest) => tagIndexLink(repository, parseTag(tag), digest)),
    ]),
  ];
}

/** The keys of some repositories, in order; of some of them more than a small page has. */
const someKeys = fc
  .uniqueArray(
    fc.tuple(
      fc.array(fc.constantFrom(...components), { minLength: 1, maxLength: 3 }).map((path) => path.join('/')),
      fc.constantFrom(0, 1, 9),
      fc.constantFrom(0, 1),
      fc.uniqueArray(fc.tuple(fc.constantFrom(...tagNames), fc.constantFrom(0, 1, 9)), {
        selector: ([tag]) => tag,
        maxLength: 2,
      }),
    ),
    { selector: ([name]) => name, minLength: 6, maxLength: 6 },
  )
  .map((repositories) => repositories.flatMap((repository) => keysOf(...repository)).sort(compareKeys));

/** Listings that start anywhere: at a key, in the middle of one, at a folder's end, or after all of one. */
function listingsOf(keys: readonly string[]): fc.Arbitrary<ListOptions> {
  const folders = keys.flatMap((key) => {
    const segments = key.split('/');
    return segments.map((_, i) => segments.slice(0, i + 1).join('/'));
  });
  const somewhere = fc
    .tuple(
      fc.constantFrom(...keys, ...folders),
      fc.constantFrom('', '', '/', '/_', '0', '-', '/index/', '/zz'),
    )
    .map(([key, more]) => key + more);
  const prefixes = [...new Set(folders)].map((folder) => `${folder}/`);
  return fc.record(
    {
      prefix: fc.oneof(fc.constant(repositoriesPrefix), fc.constantFrom(...prefixes), somewhere),
      delimiter: fc.constantFrom(repositoryDelimiter, tagIndexDelimiter, '/', '-', 'link'),
      startAfter: somewhere,
      limit: fc.constantFrom(1, 2, 3, 5, 8, 30, 1000),
    },
    { requiredKeys: ['limit'] },
  );
}

async function fill(store: ObjectStore, keys: readonly string[]): Promise<void> {
  await inParallel(keys, 16, async (key) => await store.put(key, Buffer.from(key)));
  // A listing may lag behind.
  const count = async () => (await Array.fromAsync(listObjects(store, ''))).length;
  assert.equal(await poll(count, (found) => found === keys.length, 20_000), keys.length);
}

async function names(list: (page: Page) => Promise<NamePage>, n: number): Promise<string[]> {
  const found: string[] = [];
  for (let more = true; more;) {
    const page = await list({ n, last: found.at(-1) ?? '' });
    assert.ok(page.names.length === n || !page.more);
    found.push(...page.names);
    more = page.more;
  }
  return found;
}

/** As if there were more keys. */
function inPagesOf(limit: number, store: ObjectStore): ObjectStore {
  return new Proxy(store, {
    get(target, property) {
      if (property === 'list') return async (options: ListOptions) => await store.list({ ...options, limit });
      const value: unknown = Reflect.get(target, property);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

for (const kind of kinds)
  describe(`listings on ${kind.name}`, requires(...kind.needs), () => {
    let stores: Stores;

    before(async () => {
      stores = await kind.start();
    });

    after(async () => {
      await stores.stop();
    });

    it(`listings on ${kind.name} agree with a plain model, in pages of any size`, async () => {
      await fc.assert(
        fc.asyncProperty(someKeys, async (keys) => {
          const store = await stores.newStore();
          await fill(store, keys);
          const listing = fc.asyncProperty(listingsOf(keys), async (options) => {
            assert.deepEqual(await allPages(store, options), expectedEntries(keys, options));
          });
          await fc.assert(listing, { seed: 2, numRuns: kind.listings });
        }),
        { seed: 1, numRuns: kind.sets, endOnFailure: true },
      );
    });

    it(`listings on ${kind.name} have each repository and tag in order, in pages of any size`, async () => {
      const store = await stores.newStore();
      const repositories = ['app', 'app-web', 'app.x', 'app/x', 'web'];
      const tags = ['1', '1-a', '1.0', '2'];
      const keys = repositories.flatMap((name) =>
        keysOf(
          name,
          0,
          9,
          tags.map((tag) => [tag, 9]),
        ),
      );
      // What a foreign hand has put there is no name, and harms none.
      const app = parseRepositoryName('app');
      const foreign = ['100%', '%zz', '%E9+a'].flatMap((name) => [
        `${repositoriesPrefix}${name}/_layers/link`,
        `${tagsPrefix(app)}${name}/current/link`,
      ]);
      await fill(store, [...keys, ...foreign]);
      for (const n of [1, 3]) {
        assert.deepEqual(await names(async (page) => await new Catalog(store).list(page), n), repositories);
        assert.deepEqual(await names(async (page) => await new Tags(store).list(app, page), n), tags);
      }
      const listed = await Array.fromAsync(listObjects(store, ''), ({ key }) => key);
      assert.deepEqual(listed, [...keys, ...foreign].sort(compareKeys));
    });

    it(`listings on ${kind.name} find all tags of a manifest, however many links lie between`, async () => {
      const store = await stores.newStore();
      const app = parseRepositoryName('app');
      const digest = digestOf(1);
      const past: [string, number][] = [
        ['v', 12],
        ['v-1', 30],
        ['w', 0],
      ];
      const keys = keysOf('app', 0, 0, past);
      await inParallel(keys, 16, async (key) => await store.put(key, Buffer.from(digest)));
      const found = async () => await new Tags(inPagesOf(10, store)).pointingAt(app, digest);
      const links = ['v-1', 'v', 'w'].map((tag) => tagLink(app, parseTag(tag)));
      const tags = await poll(found, (tags) => tags.length === links.length, 20_000);
      assert.deepEqual(
        tags.map(({ link, history }) => [link, history.length]),
        links.map((link, i) => [link, [30, 12, 0][i]]),
      );
    });
  });
