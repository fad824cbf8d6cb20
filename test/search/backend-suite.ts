import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import type { Page } from '../../lib/protocol/pages.ts';
import type { NamePage } from '../../lib/registry/interface.ts';
import type { Reindexed, SearchBackend } from '../../lib/search/search-backend.ts';
import { Deadline } from '../../lib/storage/deadline.ts';
import type { Requirement } from '../servers/requires.ts';

/** A list of repositories that begins empty, and the bucket it is made of. */
export interface Subject {
  readonly backend: SearchBackend;
  /** Puts repositories into the bucket, and nothing else. */
  fill(names: readonly string[]): Promise<void>;
  /** Takes a repository out of the bucket, and does as if all that is in the list had been there for long. */
  remove(name: string): Promise<void>;
  reindex(): Promise<Reindexed | undefined>;
  close(): Promise<void>;
}

/** What a kind of list runs on, for as many lists as a test wants. */
export interface Ground {
  open(): Promise<Subject>;
  stop(): Promise<void>;
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Each but a few begins with another one, and all that may follow is there. */
export const awkwardNames = [
  ...['a', 'a-b', 'a/b', 'a.b', 'ab', 'a_b', 'a__b', 'a0', 'aab'],
  ...['team/app', 'team/app-web', 'team/app/0', 'team/app_web', 'team/appa'],
];

/** Names that are not there, before, between and after those that are. */
const absent = [
  '0',
  'a-a',
  'a_a',
  'a__a',
  'a__c',
  'ac',
  'team',
  'team/app-',
  'team/ap',
  'team/app_w',
  'zz',
].filter((name) => !name.endsWith('-'));

/** What a page is: a slice of the sorted names. */
export function modelPage(names: readonly string[], { n, last }: Page): NamePage {
  const following = [...new Set(names)].sort(byBytes).filter((name) => byBytes(name, last) > 0);
  return { names: following.slice(0, n), more: n > 0 && following.length > n };
}

/** What a search finds, in its order. */
function modelMatches(names: readonly string[], term: string): string[] {
  const nearness = (name: string) => (name === term ? 0 : name.startsWith(term) ? 1 : 2);
  return [...new Set(names)]
    .filter((name) => name.includes(term))
    .sort((a, b) => nearness(a) - nearness(b) || byBytes(a, b));
}

/** All pages one after another. @returns the names, and the milliseconds that the slowest page took */
export async function pageThrough(
  { list }: { list: (page: Page) => Promise<NamePage> },
  n: number,
): Promise<{ names: string[]; slowest: number }> {
  const names: string[] = [];
  let slowest = 0;
  for (let last = '', more = true; more;) {
    const start = performance.now();
    const page = await list({ n, last });
    slowest = Math.max(slowest, performance.now() - start);
    names.push(...page.names);
    more = page.more;
    if (more) assert.ok(page.names.length === n, `a page of ${page.names.length}`);
    last = page.names.at(-1) ?? last;
  }
  return { names, slowest };
}

/** Holds that paging gives each of the names once and in order. */
export async function assertPages(backend: SearchBackend, names: readonly string[]): Promise<void> {
  const start = performance.now();
  const list = async (page: Page) => await backend.list(page);
  const paged = await pageThrough({ list }, 1000);
  const expected = names.toSorted(byBytes);
  assert.equal(paged.names.length, expected.length);
  assert.ok(paged.names.every((name, i) => name === expected[i]));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${names.length} names in ${seconds} s, a page in ${Math.round(paged.slowest)} ms at most`);
}

/** So many names, of common kinds and of those that the orders of keys and of collations differ in. */
export function manyNames(count: number): string[] {
  const forms = [
    (i: number) => `team${i % 97}/app${i}`,
    (i: number) => `team${i % 97}/app${i - 1}-web`,
    (i: number) => `team${i % 97}_x/app${i}`,
    (i: number) => `team${i % 97}/app_${i}/cache`,
    (i: number) => `library/a${i}`,
    (i: number) => `team${i % 97}/app${i - 5}/${i}`,
  ];
  return Array.from({ length: count }, (_, i) => (forms[i % forms.length] ?? String)(i));
}

const component = fc.constantFrom(
  'a',
  'a-b',
  'a.b',
  'a_b',
  'a__b',
  'a-0',
  'a0',
  'ab',
  '0',
  'b',
  'a--b',
  'a_0_b',
);
const someName = fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));

/**
 * What every list of repositories must do.
 * @param runs of the properties, each of which fills a list
 */
export function backendSuite(
  what: string,
  requirement: Requirement,
  start: () => Promise<Ground>,
  runs: number,
): void {
  describe(`the list of repositories ${what}`, requirement, () => {
    let ground: Ground;

    before(async () => {
      ground = await start();
    });

    after(async () => {
      await ground.stop();
    });

    const withList = async (names: readonly string[], act: (subject: Subject) => Promise<void>) => {
      const subject = await ground.open();
      try {
        await subject.fill(names);
        for (const name of names) await subject.backend.record(parseRepositoryName(name));
        await act(subject);
      } finally {
        await subject.close();
      }
    };

    it(`the list of repositories ${what} is empty before the first push`, async () => {
      await withList([], async ({ backend }) => {
        assert.deepEqual(await backend.list({ n: 10, last: '' }), { names: [], more: false });
        assert.deepEqual(await backend.search('a', { size: 10, number: 1 }), { names: [], total: 0 });
      });
    });

    it(`the list of repositories ${what} comes in byte order, in pages of any size, after any name`, async () => {
      await withList(awkwardNames, async ({ backend }) => {
        for (const last of ['', ...awkwardNames, ...absent])
          for (let n = 0; n <= awkwardNames.length + 1; n += 1)
            assert.deepEqual(
              await backend.list({ n, last }),
              modelPage(awkwardNames, { n, last }),
              `n=${n} last=${last}`,
            );
      });
    });

    it(`a search ${what} finds the exact match, prefix matches and other matches`, async () => {
      await withList(awkwardNames, async ({ backend }) => {
        for (const term of [
          '',
          'a',
          'ab',
          'a_',
          '_',
          '__',
          '%',
          'a%',
          '/',
          'app',
          'team/app',
          '-',
          '.',
          "'",
          '\\',
          'zz',
        ])
          for (const size of [0, 1, 3, 100])
            for (const number of [1, 2, 5, 1_000_000_000]) {
              const all = modelMatches(awkwardNames, term);
              const names = all.slice((number - 1) * size, number * size);
              const expected = { names, total: all.length };
              assert.deepEqual(
                await backend.search(term, { size, number }),
                expected,
                `${term} ${size} ${number}`,
              );
            }
      });
    });

    it(`the list of repositories ${what} is unchanged after a name is recorded again`, async () => {
      await withList(['a', 'b'], async ({ backend }) => {
        await Promise.all(
          Array.from({ length: 5 }, async () => {
            await backend.record(parseRepositoryName('a'));
          }),
        );
        assert.deepEqual((await backend.list({ n: 10, last: '' })).names, ['a', 'b']);
      });
    });

    it(`the list of repositories ${what} ignores pushes of a request past its deadline`, async () => {
      await withList(['a'], async ({ backend }) => {
        const deadline = new Deadline(60_000);
        const recorded = deadline.run(async () => {
          deadline.end();
          await backend.record(parseRepositoryName('late'));
        });
        // Where the bucket is the list there is nothing to take in.
        await recorded.catch(() => undefined);
        assert.deepEqual((await backend.list({ n: 10, last: '' })).names, ['a']);
      });
    });

    it(`the list of repositories ${what} matches the bucket after a reindex, which reports its changes`, async () => {
      await withList(['a', 'a_b', 'gone', 'gone/too'], async (subject) => {
        await subject.remove('gone');
        await subject.remove('gone/too');
        await subject.fill(['ab', 'a-b', 'b']);
        const changed = await subject.reindex();
        if (changed !== undefined) assert.deepEqual(changed, { names: 5, added: 3, removed: 2 });
        assert.deepEqual((await subject.backend.list({ n: 10, last: '' })).names, [
          'a',
          'a-b',
          'a_b',
          'ab',
          'b',
        ]);
        const again = await subject.reindex();
        if (again !== undefined) assert.deepEqual(again, { names: 5, added: 0, removed: 0 });
      });
    });

    it(`the list of repositories ${what} gives the same pages and matches as a simple model`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(someName, { maxLength: 14 }), someName, async (names, last) => {
          await withList(names, async ({ backend }) => {
            for (const after of ['', last, ...names.slice(0, 3)])
              for (const n of [1, 2, 3, 5, 14])
                assert.deepEqual(
                  await backend.list({ n, last: after }),
                  modelPage(names, { n, last: after }),
                );
            const all = modelMatches(names, last.slice(0, 2));
            const found = await backend.search(last.slice(0, 2), { size: 3, number: 2 });
            assert.deepEqual(found, { names: all.slice(3, 6), total: all.length });
          });
        }),
        { numRuns: runs, endOnFailure: true },
      );
    });
  });
}
