import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, it, mock } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { isRepositoryName } from '../../lib/protocol/names.ts';
import { FileLock } from '../../lib/search/file/lock.ts';
import { LocalFile } from '../../lib/search/file/local-file.ts';
import type { BucketNames } from '../../lib/search/search-backend.ts';
import { bucketOf, fillDisk, isUnavailable, listFile, related, rows } from './local-file-fixture.ts';

/** Stats as of a file system whose clock ticks every 50 ms, as a coarse one does. */
function coarse(stats: BigIntStats): BigIntStats {
  const tick = 50_000_000n;
  const [mtimeNs, ctimeNs] = [stats.mtimeNs, stats.ctimeNs].map((time) => (time / tick) * tick);
  return Object.assign(stats, { mtimeNs, ctimeNs });
}

describe('the list in a local file', () => {
  const list = listFile();
  const { write, content, all, record, files } = list;

  describe('opened', () => {
    it('creates a missing folder for the list file', async () => {
      const deep = join(list.folder.path, 'a', 'b', 'list');
      const other = await LocalFile.open(deep);
      await other.reindex(bucketOf(['a']));
      assert.deepEqual(await all(other), ['a']);
      assert.equal(await fs.readFile(deep, 'utf8'), 'a\n');
    });

    it('opening does not change a list file', async () => {
      await write('b\na');
      await LocalFile.open(list.path);
      assert.equal(await content(), 'b\na');
    });

    it('the error of an unusable list file names the setting and what is valid', async () => {
      await write('a\n');
      for (const [wrong, why] of [
        [list.folder.path, /not a regular file/],
        // A reindex would put a file in its place.
        ['/dev/null', /not a regular file/],
        [join(list.path, 'list'), /ENOTDIR/],
        ['/proc/stowage/list', /ENOENT/],
      ] as const) {
        await assert.rejects(LocalFile.open(wrong), (error: Error) => {
          assert.match(error.message, /^SEARCH_BACKEND_LOCAL: .* cannot be used .*: set it to a file/);
          assert.match(error.message, why);
          return true;
        });
      }
    });

    it('the error of an invalid lock file says what to do', async () => {
      await fs.writeFile(`${list.path}.lock`, 'x\n');
      await assert.rejects(
        LocalFile.open(list.path),
        /^Error: SEARCH_BACKEND_LOCAL: .* the lock file .*repositories\.lock cannot be used; .* delete it/,
      );
    });

    it('opening waits while another process holds the lock', async () => {
      const { promise: end, resolve: letGo } = Promise.withResolvers<undefined>();
      const held = new FileLock(`${list.path}.lock`).during(async () => {
        await end;
      });
      let isOpen = false;
      const opening = LocalFile.open(list.path).then(() => {
        isOpen = true;
      });
      await delay(100);
      assert.equal(isOpen, false);
      letGo(undefined);
      await Promise.all([held, opening]);
    });

    it('a list file opened by a link shares the lock and keeps the link', async () => {
      const link = join(list.folder.path, 'link');
      await fs.symlink(list.path, link);
      const other = await LocalFile.open(link);
      await record('a', other);
      await other.reindex(bucketOf(['b']));
      assert.equal(await fs.readlink(link), list.path);
      assert.deepEqual(await files(), ['link', 'repositories', 'repositories.lock']);
      assert.deepEqual(await all(), ['b']);
    });

    it(
      'the lock file gets the owner of the list file',
      { skip: process.getuid?.() !== 0 && 'needs root' },
      async () => {
        await fs.chown(list.path, 12345, 23456);
        await fs.chmod(list.path, 0o660);
        await LocalFile.open(list.path);
        const { uid, gid, mode } = await fs.stat(`${list.path}.lock`);
        assert.deepEqual([uid, gid, mode & 0o777], [12345, 23456, 0o660]);
      },
    );
  });

  it('a file above 64 MiB is refused unread, and the error names the setting and the size', async () => {
    const size = 64 * 1024 * 1024 + 1;
    await fs.truncate(list.path, size);
    const isTooLarge = (error: unknown) =>
      isUnavailable(error) &&
      ((error as Error).cause as Error).message.startsWith(
        `SEARCH_BACKEND_LOCAL: the list has ${size} bytes, more than ${size - 1}; `,
      );
    const memory = process.memoryUsage().rss;
    for (const use of [
      () => all(),
      () => list.file.search('a', { size: 1, number: 1 }),
      () => record('a'),
      () => list.file.reindex(bucketOf(['a'])),
    ])
      await assert.rejects(use(), isTooLarge);
    assert.ok(process.memoryUsage().rss - memory < size / 2);
    assert.equal((await fs.stat(list.path)).size, size);
    await fs.truncate(list.path, 0);
    await list.file.reindex(bucketOf(['a']));
    assert.deepEqual(await all(), ['a']);
  });

  describe('before the first reindex', () => {
    const isNotWhole = (error: unknown) =>
      isUnavailable(error) &&
      ((error as Error).cause as Error).message.includes('the list does not exist yet');
    let fresh: LocalFile;

    beforeEach(async () => {
      list.path = join(list.folder.path, 'fresh');
      fresh = await LocalFile.open(list.path);
    });

    const assertNotWhole = async () => {
      // Another process knows it too.
      for (const one of [fresh, await LocalFile.open(list.path)]) {
        await assert.rejects(all(one), isNotWhole);
        await assert.rejects(one.search('a', { size: 1, number: 1 }), isNotWhole);
      }
    };

    it('a list file before the first reindex is unavailable, and pushes do not create it', async () => {
      await assertNotWhole();
      await assert.rejects(record('a', fresh), isNotWhole);
      assert.ok(!(await files()).includes('fresh'));
      await fresh.reindex(bucketOf([]));
      assert.deepEqual(await all(fresh), []);
      assert.deepEqual(await all(await LocalFile.open(list.path)), []);
      await record('a', fresh);
      assert.equal(await content(), 'a\n');
    });

    it('a list file after a failed reindex is unavailable', async () => {
      await write('');
      const failing: BucketNames = {
        async *all() {
          await Promise.reject(new Error('of the bucket'));
        },
        has: () => Promise.resolve(false),
      };
      await assert.rejects(fresh.reindex(failing), /of the bucket/);
      await assertNotWhole();
    });

    it('a list file that another program emptied is unavailable', async () => {
      await fresh.reindex(bucketOf(['a']));
      await write('');
      await assertNotWhole();
      // From then on an unchanged file is cached.
      await delay(200);
      await assertNotWhole();
      await assertNotWhole();
    });
  });

  describe('read', () => {
    const odd = {
      'only a newline': ['\n', []],
      'any order': ['b\nc\na\n', ['a', 'b', 'c']],
      'no newline at the end': ['b\na', ['a', 'b']],
      CRLF: ['b\r\na\r\nc', ['a', 'b', 'c']],
      duplicates: ['a\nb\na\r\nb', ['a', 'b']],
      'lines that are no names': ['A\n# x\n\n../a\na/\na b\n a\na\t\nok\n文\n\0\n', ['ok']],
      'a line that is too long': [`${'a'.repeat(256)}\n${'b'.repeat(255)}\n`, ['b'.repeat(255)]],
      'related names': [rows(related.toReversed()), related],
      'a line of the last release': ['# not whole: npm run reindex\na\n', ['a']],
    } satisfies Record<string, [string, string[]]>;
    for (const [what, [text, names]] of Object.entries(odd)) {
      it(`a list file may have ${what}`, async () => {
        await write(text);
        assert.deepEqual(await all(), names);
      });
    }

    it('a list file gives pages in byte order, after any text', async () => {
      await write(rows(related));
      assert.deepEqual(await list.file.list({ n: 2, last: 'a' }), { names: ['a-b', 'a.b'], more: true });
      assert.deepEqual(await list.file.list({ n: 2, last: 'a/b' }), { names: ['a_b', 'ab'], more: false });
      assert.deepEqual(await list.file.list({ n: 1, last: 'a/' }), { names: ['a/b'], more: true });
      assert.deepEqual(await list.file.list({ n: 9, last: '😀' }), { names: [], more: false });
      assert.deepEqual(await list.file.list({ n: 0, last: '' }), { names: [], more: false });
    });

    it('search of a list file returns the exact match, then prefix matches, then other matches', async () => {
      await write(rows(['x/ab', 'ab', 'a', 'c', 'b-ab', 'ab/c', 'ab-c']));
      assert.deepEqual(await list.file.search('ab', { size: 4, number: 1 }), {
        names: ['ab', 'ab-c', 'ab/c', 'b-ab'],
        total: 5,
      });
      assert.deepEqual(await list.file.search('ab', { size: 4, number: 2 }), { names: ['x/ab'], total: 5 });
      assert.deepEqual(await list.file.search('%', { size: 4, number: 1 }), { names: [], total: 0 });
    });

    it('changes of a list file by another program are visible at once', async () => {
      for (const text of ['a\n', 'a\nb\n', 'c\n']) {
        await write(text);
        assert.deepEqual(await all(), text.trim().split('\n'));
      }
    });

    it('changes of a list file are visible on a file system with a coarse clock', async () => {
      const { stat, open } = fs;
      mock.method(fs, 'stat', async (at: string) => coarse(await stat(at, { bigint: true })));
      mock.method(fs, 'open', async (at: string, flags: string) => {
        const handle = await open(at, flags);
        const own = handle.stat.bind(handle);
        mock.method(handle, 'stat', async () => coarse(await own({ bigint: true })));
        return handle;
      });
      for (let round = 100; round < 150; round++) {
        await write(`a${round}\n`);
        assert.deepEqual(await all(), [`a${round}`]);
      }
    });

    it('reads an unchanged list file of 100,000 names once for all pages', async () => {
      const names = Array.from(
        { length: 100_000 },
        (_, i) => `team-${i % 97}/project-${(i * 7919) % 100_003}`,
      );
      await write(rows(names));
      // Times of files tick coarsely: a file that has just been written could change without them.
      await delay(200);
      const { mock: opened } = mock.method(fs, 'open');
      const found: string[] = [];
      for (let last = '', more = true; more; last = found.at(-1) ?? '') {
        const page = await list.file.list({ n: 1000, last });
        found.push(...page.names);
        more = page.more;
      }
      assert.equal(opened.callCount(), 1);
      assert.deepEqual(found, names.sort());
      await record(names[5] ?? '');
      assert.equal((await list.file.search('project-5', { size: 10, number: 1 })).names.length, 10);
      // A record opens it to see whether it is the same, as stats by its path may be old on NFS.
      assert.equal(opened.callCount(), 2);
    });

    it('concurrent queries share one read of a changed list file', async () => {
      await write('a\n');
      const { mock: opened } = mock.method(fs, 'open');
      const lists = await Promise.all(Array.from({ length: 50 }, async () => await all()));
      for (const names of lists) assert.deepEqual(names, ['a']);
      // One may begin before the others ask.
      assert.ok(opened.callCount() <= 2, `${opened.callCount()}`);
    });

    it('a list file gives the same pages and matches as a simple model', async () => {
      const letters = fc.constantFrom('a', 'b', '0', '.', '_', '-', '/');
      const text = fc.string({ unit: letters, maxLength: 6 });
      const page = {
        n: fc.nat(5),
        last: text,
        size: fc.integer({ min: 1, max: 4 }),
        number: fc.integer({ min: 1, max: 3 }),
      };
      const property = fc.asyncProperty(
        fc.array(text, { maxLength: 20 }),
        text,
        fc.record(page),
        async (lines, term, asked) => {
          await write(`${lines.join('\n')}\n`);
          const names = [...new Set(lines.filter(isRepositoryName))].sort((a, b) =>
            Buffer.compare(Buffer.from(a), Buffer.from(b)),
          );
          const { n, last, size, number } = asked;
          const following = names.filter((name) => name > last);
          assert.deepEqual(await list.file.list({ n, last }), {
            names: following.slice(0, n),
            more: n > 0 && following.length > n,
          });
          const rank = (name: string) => (name === term ? 0 : name.startsWith(term) ? 1 : 2);
          const found = names.filter((name) => name.includes(term)).sort((a, b) => rank(a) - rank(b));
          assert.deepEqual(await list.file.search(term, { size, number }), {
            names: found.slice((number - 1) * size, number * size),
            total: found.length,
          });
        },
      );
      await fc.assert(property, { numRuns: 200 });
    });
  });

  describe('record', () => {
    it('record adds a name once, in order, and drops invalid lines', async () => {
      await write('# not whole: npm run reindex\nz');
      for (const name of ['b', 'a', 'b', 'a/b']) await record(name);
      assert.equal(await content(), 'a\na/b\nb\nz\n');
      assert.deepEqual(await all(), ['a', 'a/b', 'b', 'z']);
      assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
    });

    it('concurrent records add each name', async () => {
      const names = Array.from({ length: 40 }, (_, i) => `name-${i % 20}`);
      const others = [list.file, await LocalFile.open(list.path), await LocalFile.open(list.path)];
      await Promise.all(
        names.map(async (name, i) => {
          await record(name, others[i % 3]);
        }),
      );
      assert.deepEqual((await content()).trim().split('\n').sort(), [...new Set(names)].sort());
    });

    it('concurrent records of known names share one read', async () => {
      await write(rows(related));
      const { mock: opened } = mock.method(fs, 'open');
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          await record(related[i % 6] ?? '');
        }),
      );
      // One may begin before the others ask.
      assert.ok(opened.callCount() <= 2, `${opened.callCount()}`);
    });

    it('record starts a new read, as one in progress may precede a reindex', async () => {
      await write('a\n');
      const { open } = fs;
      let meanwhile: Promise<void> | undefined;
      mock.method(fs, 'open', async (at: string, flags: string) => {
        const handle = await open(at, flags);
        const readFile = handle.readFile.bind(handle);
        mock.method(handle, 'readFile', async (encoding: 'utf8') => {
          const text = await readFile(encoding);
          if (meanwhile === undefined) {
            await write('b\n');
            meanwhile = record('a');
            await delay(20);
          }
          return text;
        });
        return handle;
      });
      await all();
      await meanwhile;
      assert.ok(meanwhile !== undefined);
      assert.equal(await content(), 'a\nb\n');
    });

    it('a full disk leaves the list file unchanged', async () => {
      await write('a\n');
      fillDisk();
      await assert.rejects(record('abcdef'), isUnavailable);
      assert.equal(await content(), 'a\n');
    });
  });
});
