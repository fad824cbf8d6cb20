import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import type { BigIntStats } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import fc from 'fast-check';

import { RegistryError } from '../../lib/protocol/errors.ts';
import { isRepositoryName, parseRepositoryName } from '../../lib/protocol/names.ts';
import { FileLock } from '../../lib/search/file/lock.ts';
import { LocalFile } from '../../lib/search/file/local-file.ts';
import type { BucketNames } from '../../lib/search/search-backend.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import type { Requirement } from '../servers/requires.ts';
import { whileBusy } from './busy.ts';
import { FolderBucket } from './folder-bucket.ts';

const run = promisify(execFile);

/** Prefixes of each other, with what sorts before and after a slash; in byte order. */
const related = ['a', 'a-b', 'a.b', 'a/b', 'a_b', 'ab'];

/** A bucket with these names, of which a listing may lack some or have others. */
function bucketOf(names: readonly string[], listed = names): BucketNames {
  return {
    async *all() {
      yield* await Promise.resolve(listed);
    },
    has: (name) => Promise.resolve(names.includes(name)),
  };
}

/** Stats as of a file system whose clock ticks every 50 ms, as a coarse one does. */
function coarse(stats: BigIntStats): BigIntStats {
  const tick = 50_000_000n;
  const [mtimeNs, ctimeNs] = [stats.mtimeNs, stats.ctimeNs].map((time) => (time / tick) * tick);
  return Object.assign(stats, { mtimeNs, ctimeNs });
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: of the test`), { code });
}

const isUnavailable = (error: unknown): boolean =>
  error instanceof RegistryError && error.failure === 'SEARCH_UNAVAILABLE' && error.cause instanceof Error;

describe('the list in a local file', () => {
  let folder: Folder;
  let path: string;
  let file: LocalFile;

  beforeEach(async () => {
    folder = await temporaryFolder('list');
    path = join(folder.path, 'repositories');
    file = await LocalFile.open(path);
    await file.reindex(bucketOf([]));
  });
  afterEach(async () => {
    mock.restoreAll();
    await file.close();
    folder.remove();
  });

  const write = async (text: string) => {
    await fs.writeFile(path, text);
  };
  const content = async () => await fs.readFile(path, 'utf8');
  const all = async (from = file) => (await from.list({ n: Number.MAX_SAFE_INTEGER, last: '' })).names;
  const record = async (name: string, to = file) => {
    await to.record(parseRepositoryName(name));
  };
  const rows = (names: readonly string[]) => names.map((name) => `${name}\n`).join('');
  const files = async () => (await fs.readdir(folder.path)).sort();

  describe('opened', () => {
    it('makes folder and file where they are missing', async () => {
      const deep = join(folder.path, 'a', 'b', 'list');
      const other = await LocalFile.open(deep);
      await other.reindex(bucketOf(['a']));
      assert.deepEqual(await all(other), ['a']);
      assert.equal(await fs.readFile(deep, 'utf8'), 'a\n');
    });

    it('leaves a file as it is', async () => {
      await write('b\na');
      await LocalFile.open(path);
      assert.equal(await content(), 'b\na');
    });

    it('says which setting is wrong and what would be right', async () => {
      await write('a\n');
      for (const [wrong, why] of [
        [folder.path, /no regular file/],
        // A reindex would put a file in its place.
        ['/dev/null', /no regular file/],
        [join(path, 'list'), /ENOTDIR/],
        ['/proc/stowage/list', /ENOENT/],
      ] as const) {
        await assert.rejects(LocalFile.open(wrong), (error: Error) => {
          assert.match(error.message, /^SEARCH_BACKEND_LOCAL: .* cannot be used .*: set it to a file/);
          assert.match(error.message, why);
          return true;
        });
      }
    });

    it('says that its lock is none, and what to do', async () => {
      await fs.writeFile(`${path}.lock`, 'x\n');
      await assert.rejects(
        LocalFile.open(path),
        /^Error: SEARCH_BACKEND_LOCAL: .* the lock file .*repositories\.lock cannot be used; .* delete it/,
      );
    });

    it('waits while another one has the lock', async () => {
      const { promise: end, resolve: letGo } = Promise.withResolvers<undefined>();
      const held = new FileLock(`${path}.lock`).during(async () => {
        await end;
      });
      let isOpen = false;
      const opening = LocalFile.open(path).then(() => {
        isOpen = true;
      });
      await delay(100);
      assert.equal(isOpen, false);
      letGo(undefined);
      await Promise.all([held, opening]);
    });

    it('shares the lock with those who come by a link, and keeps the link', async () => {
      const link = join(folder.path, 'link');
      await fs.symlink(path, link);
      const other = await LocalFile.open(link);
      await record('a', other);
      await other.reindex(bucketOf(['b']));
      assert.equal(await fs.readlink(link), path);
      assert.deepEqual(await files(), ['link', 'repositories', 'repositories.lock']);
      assert.deepEqual(await all(), ['b']);
    });

    it(
      'gives the lock to whoever owns the list',
      { skip: process.getuid?.() !== 0 && 'needs root' },
      async () => {
        await fs.chown(path, 12345, 23456);
        await fs.chmod(path, 0o660);
        await LocalFile.open(path);
        const { uid, gid, mode } = await fs.stat(`${path}.lock`);
        assert.deepEqual([uid, gid, mode & 0o777], [12345, 23456, 0o660]);
      },
    );
  });

  describe('that was not made from the bucket', () => {
    const isNotWhole = (error: unknown) =>
      isUnavailable(error) &&
      ((error as Error).cause as Error).message.includes('not made from the bucket yet');
    let fresh: LocalFile;

    beforeEach(async () => {
      path = join(folder.path, 'fresh');
      fresh = await LocalFile.open(path);
    });

    const assertNotWhole = async () => {
      // Another process knows it too.
      for (const one of [fresh, await LocalFile.open(path)]) {
        await assert.rejects(all(one), isNotWhole);
        await assert.rejects(one.search('a', { size: 1, number: 1 }), isNotWhole);
      }
    };

    it('is no empty list, and pushes do not make it', async () => {
      await assertNotWhole();
      await assert.rejects(record('a', fresh), isNotWhole);
      assert.ok(!(await files()).includes('fresh'));
      await fresh.reindex(bucketOf([]));
      assert.deepEqual(await all(fresh), []);
      assert.deepEqual(await all(await LocalFile.open(path)), []);
      await record('a', fresh);
      assert.equal(await content(), 'a\n');
    });

    it('is none after a reindex that failed', async () => {
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

    it('is not whole when another program has emptied it', async () => {
      await fresh.reindex(bucketOf(['a']));
      await write('');
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
      it(`understands ${what}`, async () => {
        await write(text);
        assert.deepEqual(await all(), names);
      });
    }

    it('gives pages in byte order, from any text on', async () => {
      await write(rows(related));
      assert.deepEqual(await file.list({ n: 2, last: 'a' }), { names: ['a-b', 'a.b'], more: true });
      assert.deepEqual(await file.list({ n: 2, last: 'a/b' }), { names: ['a_b', 'ab'], more: false });
      assert.deepEqual(await file.list({ n: 1, last: 'a/' }), { names: ['a/b'], more: true });
      assert.deepEqual(await file.list({ n: 9, last: '😀' }), { names: [], more: false });
      assert.deepEqual(await file.list({ n: 0, last: '' }), { names: [], more: false });
    });

    it('finds the term itself, then what begins with it, then what contains it', async () => {
      await write(rows(['x/ab', 'ab', 'a', 'c', 'b-ab', 'ab/c', 'ab-c']));
      assert.deepEqual(await file.search('ab', { size: 4, number: 1 }), {
        names: ['ab', 'ab-c', 'ab/c', 'b-ab'],
        total: 5,
      });
      assert.deepEqual(await file.search('ab', { size: 4, number: 2 }), { names: ['x/ab'], total: 5 });
      assert.deepEqual(await file.search('%', { size: 4, number: 1 }), { names: [], total: 0 });
    });

    it('sees at once what another program changes', async () => {
      for (const text of ['a\n', 'a\nb\n', 'c\n']) {
        await write(text);
        assert.deepEqual(await all(), text.trim().split('\n'));
      }
    });

    it('sees it also where the clock of the file system ticks coarsely', async () => {
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

    it('reads an unchanged file once, however many pages are asked of 100,000 names', async () => {
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
        const page = await file.list({ n: 1000, last });
        found.push(...page.names);
        more = page.more;
      }
      assert.equal(opened.callCount(), 1);
      assert.deepEqual(found, names.sort());
      await record(names[5] ?? '');
      assert.equal((await file.search('project-5', { size: 10, number: 1 })).names.length, 10);
      // A record opens it to see whether it is the same, as stats by its path may be old on NFS.
      assert.equal(opened.callCount(), 2);
    });

    it('reads a changed file once for many that ask at once', async () => {
      await write('a\n');
      const { mock: opened } = mock.method(fs, 'open');
      const lists = await Promise.all(Array.from({ length: 50 }, async () => await all()));
      for (const names of lists) assert.deepEqual(names, ['a']);
      // One may begin before the others ask.
      assert.ok(opened.callCount() <= 2, `${opened.callCount()}`);
    });

    it('does the same as a simple model', async () => {
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
          assert.deepEqual(await file.list({ n, last }), {
            names: following.slice(0, n),
            more: n > 0 && following.length > n,
          });
          const rank = (name: string) => (name === term ? 0 : name.startsWith(term) ? 1 : 2);
          const found = names.filter((name) => name.includes(term)).sort((a, b) => rank(a) - rank(b));
          assert.deepEqual(await file.search(term, { size, number }), {
            names: found.slice((number - 1) * size, number * size),
            total: found.length,
          });
        },
      );
      await fc.assert(property, { numRuns: 200 });
    });
  });

  describe('record', () => {
    it('adds a line, once, in order and with none that is no name', async () => {
      await write('# not whole: npm run reindex\nz');
      for (const name of ['b', 'a', 'b', 'a/b']) await record(name);
      assert.equal(await content(), 'a\na/b\nb\nz\n');
      assert.deepEqual(await all(), ['a', 'a/b', 'b', 'z']);
      assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
    });

    it('adds each of many names at once', async () => {
      const names = Array.from({ length: 40 }, (_, i) => `name-${i % 20}`);
      const others = [file, await LocalFile.open(path), await LocalFile.open(path)];
      await Promise.all(
        names.map(async (name, i) => {
          await record(name, others[i % 3]);
        }),
      );
      assert.deepEqual((await content()).trim().split('\n').sort(), [...new Set(names)].sort());
    });

    it('reads once for many names at once that are there', async () => {
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

    it('asks anew though a read is under way, as that may be of before a reindex', async () => {
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

    it('leaves the list as it was when the disk is full', async () => {
      await write('a\n');
      fillDisk();
      await assert.rejects(record('abcdef'), isUnavailable);
      assert.equal(await content(), 'a\n');
    });
  });

  /** Lets new files have three bytes and no more. */
  function fillDisk(): void {
    const { open } = fs;
    mock.method(fs, 'open', async (at: string, flags: string) => {
      const handle = await open(at, flags);
      if (flags === 'wx') failAfter(handle, 3);
      return handle;
    });
  }

  /** Lets a handle write so many bytes and no more. */
  function failAfter(handle: FileHandle, room: number): void {
    mock.method(handle, 'writeFile', async (data: string) => {
      await handle.write(data.slice(0, room));
      throw failure('ENOSPC');
    });
  }

  describe('reindex', () => {
    it('makes the list that of the bucket', async () => {
      await write('old\nb\nA\na');
      const told: [number, number][] = [];
      const result = await file.reindex(bucketOf(['a', 'b', 'c', 'No']), (done, total) => {
        told.push([done, total]);
      });
      assert.deepEqual(result, { names: 3, added: 1, removed: 1 });
      assert.equal(await content(), 'a\nb\nc\n');
      assert.deepEqual(
        [told.at(0), told.at(-1)],
        [
          [0, 2],
          [2, 2],
        ],
      );
      assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
    });

    it('writes nothing when nothing changes', async () => {
      await write('b\na');
      const { mtimeNs, ino } = await fs.stat(path, { bigint: true });
      assert.deepEqual(await file.reindex(bucketOf(['a', 'b'])), { names: 2, added: 0, removed: 0 });
      assert.deepEqual(await fs.stat(path, { bigint: true }).then((now) => [now.mtimeNs, now.ino]), [
        mtimeNs,
        ino,
      ]);
    });

    it('keeps what the bucket has though its listing lacks it', async () => {
      await write('a\nb\nc\n');
      assert.deepEqual(await file.reindex(bucketOf(['a', 'b'], ['a'])), { names: 2, added: 0, removed: 1 });
      assert.deepEqual(await all(), ['a', 'b']);
    });

    it('keeps what is recorded while the bucket is listed, without asking', async () => {
      const asked: string[] = [];
      const bucket: BucketNames = {
        async *all() {
          await record('new');
          yield* ['a'];
        },
        has: (name) => {
          asked.push(name);
          return Promise.resolve(false);
        },
      };
      await write('old\n');
      assert.deepEqual(await file.reindex(bucket), { names: 2, added: 1, removed: 1 });
      assert.deepEqual(await all(), ['a', 'new']);
      assert.deepEqual(asked, ['old']);
    });

    it('lets a push of a name that it is taking away be recorded afterwards', async () => {
      await write('a\n');
      await all();
      let recorded: Promise<void> | undefined;
      const has = async () => {
        recorded = record('a');
        await delay(50);
        return false;
      };
      assert.deepEqual(await file.reindex({ ...bucketOf([]), has }), { names: 0, added: 0, removed: 1 });
      await recorded;
      assert.deepEqual(await all(), ['a']);
    });

    it('asks the bucket for 16 names at once, and stops when it fails', async () => {
      await write(rows(Array.from({ length: 100 }, (_, i) => `name-${i}`)));
      let [now, most, asked] = [0, 0, 0];
      const has = async () => {
        most = Math.max(most, ++now);
        await delay(1);
        now--;
        if (++asked === 40) throw new Error('of the bucket');
        return false;
      };
      await assert.rejects(file.reindex({ ...bucketOf([]), has }), /of the bucket/);
      await delay(20);
      assert.equal(most, 16);
      assert.ok(asked <= 48, `${asked}`);
      assert.equal((await all()).length, 100);
    });

    it('takes away a thousand names while others record and read, without losing any', async () => {
      const gone = Array.from({ length: 1000 }, (_, i) => `gone-${i}`);
      await write(rows(['a', ...gone]));
      const there = new Set(['a']);
      const has = async (name: string) => {
        await delay(2);
        return there.has(name);
      };
      let [done, longest] = [false, 0];
      const other = await LocalFile.open(path);
      const pushes = (async () => {
        for (let i = 0; !done; i++) {
          const name = gone[(i * 37) % gone.length] ?? '';
          there.add(name);
          const start = performance.now();
          await record(name, other);
          assert.ok((await all(other)).includes('a'));
          longest = Math.max(longest, performance.now() - start);
        }
      })();
      const { removed } = await file.reindex({ ...bucketOf(['a']), has });
      done = true;
      await pushes;
      assert.deepEqual(new Set(await all()), there);
      assert.ok(removed >= 1000 - there.size && there.size > 5, `${removed} removed, ${there.size} there`);
      // The bucket is asked for 200 names at a time under the lock, which is 13 times 2 ms.
      assert.ok(longest < 2000, `${longest} ms`);
    });

    it('works in a folder that cannot be read, and on a file system without owners', async () => {
      await write('old\n');
      const { open } = fs;
      mock.method(fs, 'open', async (at: string, flags: string) => {
        if (at === folder.path) throw failure('EACCES');
        const handle = await open(at, flags);
        for (const method of ['chown', 'chmod'] as const)
          mock.method(handle, method, () => Promise.reject(failure('ENOTSUP')));
        return handle;
      });
      await file.reindex(bucketOf(['a']));
      assert.equal(await content(), 'a\n');
    });

    it('keeps mode and owner', { skip: process.getuid?.() !== 0 && 'needs root' }, async () => {
      await fs.chown(path, 12345, 23456);
      await fs.chmod(path, 0o664);
      await file.reindex(bucketOf(['a']));
      const { uid, gid, mode } = await fs.stat(path);
      assert.deepEqual([uid, gid, mode & 0o777], [12345, 23456, 0o664]);
    });

    it('is not hindered by what a killed one left', async () => {
      await fs.writeFile(`${path}.reindexed`, 'half');
      await file.reindex(bucketOf(['a']));
      assert.equal(await content(), 'a\n');
      assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
    });

    for (const code of ['EBUSY', 'EXDEV', 'EPERM', 'EACCES']) {
      it(`rewrites the file where a rename says ${code}`, async () => {
        await write(rows(related));
        const { ino } = await fs.stat(path);
        mock.method(fs, 'rename', () => Promise.reject(failure(code)));
        await file.reindex(bucketOf(['a', 'c']));
        assert.equal(await content(), 'a\nc\n');
        assert.equal((await fs.stat(path)).ino, ino);
        assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
      });
    }

    it('rewrites the file where no other can be made beside it', async () => {
      const { open } = fs;
      mock.method(fs, 'open', async (at: string, flags: string) => {
        if (flags === 'wx') throw failure('EROFS');
        return await open(at, flags);
      });
      await file.reindex(bucketOf(['a', 'c']));
      assert.equal(await content(), 'a\nc\n');
    });

    it('leaves the list as it was when the disk is full', async () => {
      await write('a\n');
      fillDisk();
      await assert.rejects(file.reindex(bucketOf(['bcd', 'efg'])), isUnavailable);
      assert.equal(await content(), 'a\n');
      assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
    });
  });

  describe('out of reach', () => {
    it('fails when the file is missing, until it is made again', async () => {
      await record('a');
      await all();
      await fs.rm(path);
      await assert.rejects(all(), isUnavailable);
      await assert.rejects(file.search('a', { size: 1, number: 1 }), isUnavailable);
      await assert.rejects(record('b'), isUnavailable);
      assert.deepEqual(await file.reindex(bucketOf(['a', 'b'])), { names: 2, added: 2, removed: 0 });
      assert.deepEqual(await all(), ['a', 'b']);
      await fs.rm(path);
      assert.deepEqual(await file.reindex(bucketOf([])), { names: 0, added: 0, removed: 0 });
      assert.deepEqual(await all(), []);
    });

    it('fails when the folder is missing or the file is none', async () => {
      await fs.rm(path);
      await fs.mkdir(path);
      const everything = async () => {
        await assert.rejects(all(), isUnavailable);
        await assert.rejects(file.search('a', { size: 1, number: 1 }), isUnavailable);
        await assert.rejects(record('a'), isUnavailable);
        await assert.rejects(file.reindex(bucketOf(['a'])), isUnavailable);
      };
      await everything();
      await fs.rm(folder.path, { recursive: true });
      await everything();
    });

    it('fails when others hold the lock too long', async () => {
      const impatient = await LocalFile.open(path, 50);
      await new FileLock(`${path}.lock`).during(async () => {
        await assert.rejects(all(impatient), isUnavailable);
        await assert.rejects(record('a', impatient), isUnavailable);
        await assert.rejects(impatient.reindex(bucketOf(['a'])), isUnavailable);
      });
      assert.equal(await content(), '\n');
    });

    it('says in the log which setting it is that has a lock that cannot be had', async () => {
      const says = (what: RegExp) => (error: unknown) => isUnavailable(error) && what.test(causeOf(error));
      const impatient = await LocalFile.open(path, 50);
      await new FileLock(`${path}.lock`).during(async () => {
        await assert.rejects(
          record('a', impatient),
          says(
            /^SEARCH_BACKEND_LOCAL: .*repositories\.lock was held by others for 50 ms, or .*; look for a process/,
          ),
        );
      });
      await fs.writeFile(`${path}.lock`, 'x\n');
      for (const use of [
        all,
        async () => {
          await record('a');
        },
      ]) {
        await write('changed\n');
        await assert.rejects(
          use(),
          says(/^SEARCH_BACKEND_LOCAL: .*repositories\.lock cannot be used; .* delete it/),
        );
      }
    });

    const causeOf = (error: unknown) => ((error as Error).cause as Error).message;

    it('fails once it is closed', async () => {
      await file.close();
      await assert.rejects(record('a'), isUnavailable);
    });
  });

  describe('shared by processes', () => {
    const permanent = Array.from({ length: 300 }, (_, i) => `permanent/${i}`);
    let bucket: FolderBucket;
    let bucketPath: string;

    beforeEach(async () => {
      bucketPath = join(folder.path, 'bucket');
      bucket = new FolderBucket(bucketPath);
      await fs.mkdir(bucketPath);
      for (const name of permanent) await bucket.push(name);
    });

    /** Has three processes record and reindex, and reads meanwhile. Writers that lose a name fail themselves. */
    async function scramble(readAll: () => Promise<readonly string[]>): Promise<void> {
      const program = join(import.meta.dirname, 'local-file-process.ts');
      const ended = new AbortController();
      const writers = Promise.all(
        ['one', 'two', 'three'].map(
          async (name) => await run(process.execPath, [program, path, bucketPath, name, '40']),
        ),
      ).finally(() => {
        ended.abort();
      });
      await Promise.all([writers, readUntil(ended.signal, readAll)]);
    }

    async function readUntil(end: AbortSignal, readAll: () => Promise<readonly string[]>): Promise<void> {
      while (!end.aborted) {
        const names = new Set(await readAll());
        assert.deepEqual(
          permanent.filter((name) => !names.has(name)),
          [],
        );
        assert.deepEqual(
          [...names].filter((name) => !/^(permanent|common|(one|two|three)\/x*)\/?\d+$/.test(name)),
          [],
        );
        await delay(1);
      }
    }

    async function isThatOfTheBucket(): Promise<void> {
      const expected: string[] = [];
      for await (const name of bucket.all()) expected.push(name);
      const names = new Set(await all());
      assert.deepEqual(
        expected.filter((name) => !names.has(name)),
        [],
      );
      assert.deepEqual(
        (await content()).split('\n').filter((line) => !isRepositoryName(line)),
        [''],
      );
      await file.reindex(bucket);
      assert.deepEqual(await all(), expected);
    }

    it('takes a new name, and a reindex, in time while all record known names without a pause', async () => {
      await write('known\n');
      const patient = await LocalFile.open(path, 3000);
      await whileBusy(['list', path, 'known'], async () => {
        let done = false;
        const loops = [file, file, patient].map(async (one) => {
          while (!done) await record('known', one);
        });
        try {
          for (let i = 0; i < 3; i++) {
            await record(`new-${i}`, patient);
            const names = ['known', ...Array.from({ length: i + 1 }, (_, k) => `new-${k}`)];
            assert.deepEqual(await patient.reindex(bucketOf([...names, `listed-${i}`])), {
              names: i + 3,
              added: 1,
              removed: i === 0 ? 0 : 1,
            });
          }
        } finally {
          done = true;
          await Promise.all(loops);
        }
      });
    });

    it('loses no name, and is read whole by all', async () => {
      await write(rows([...permanent, 'one/0', 'two/x1']));
      await scramble(all);
      await isThatOfTheBucket();
    });

    it('is read whole also by programs that know nothing of the lock', async () => {
      await write(rows(permanent));
      await scramble(async () => (await content()).split('\n').slice(0, -1));
      await isThatOfTheBucket();
    });

    it('is rewritten in place where it is the mount point of a container', mountable(), async () => {
      const host = join(folder.path, 'host');
      await fs.writeFile(host, rows(permanent));
      const mounted = spawnSync('mount', ['--bind', host, path], { encoding: 'utf8' });
      assert.equal(mounted.status, 0, mounted.stderr);
      try {
        const { ino } = await fs.stat(host);
        await assert.rejects(fs.rename(join(bucketPath, 'permanent%2F0'), path), { code: 'EBUSY' });
        await scramble(all);
        await isThatOfTheBucket();
        assert.equal((await fs.stat(host)).ino, ino);
        assert.equal(await fs.readFile(host, 'utf8'), await content());
        assert.deepEqual(await files(), ['bucket', 'host', 'repositories', 'repositories.lock']);
      } finally {
        spawnSync('umount', [path]);
      }
    });
  });
});

/** Options that let a test run where files can be mounted; with `CI=true` it runs in any case. */
function mountable(): Requirement {
  if (process.env['CI'] === 'true' || canMount()) return {};
  return { skip: 'needs root and the right to mount' };
}

/** Tries it, as root in a container may still not be allowed to. */
function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  return spawnSync('unshare', ['--mount', 'mount', '--bind', '/proc/version', '/proc/version']).status === 0;
}
