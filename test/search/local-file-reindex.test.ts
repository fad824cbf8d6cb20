import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { describe, it, mock } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FileLock } from '../../lib/search/file/lock.ts';
import { LocalFile } from '../../lib/search/file/local-file.ts';
import type { BucketNames } from '../../lib/search/search-backend.ts';
import { bucketOf, failure, fillDisk, isUnavailable, listFile, related, rows } from './local-file-fixture.ts';

describe('the list in a local file', () => {
  const list = listFile();
  const { write, content, all, record, files } = list;

  describe('reindex', () => {
    it('reindex makes the list file match the bucket', async () => {
      await write('old\nb\nA\na');
      const told: [number, number][] = [];
      const result = await list.file.reindex(bucketOf(['a', 'b', 'c', 'No']), (done, total) => {
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

    it('reindex does not write an unchanged list file', async () => {
      await write('b\na');
      const { mtimeNs, ino } = await fs.stat(list.path, { bigint: true });
      assert.deepEqual(await list.file.reindex(bucketOf(['a', 'b'])), { names: 2, added: 0, removed: 0 });
      assert.deepEqual(await fs.stat(list.path, { bigint: true }).then((now) => [now.mtimeNs, now.ino]), [
        mtimeNs,
        ino,
      ]);
    });

    it('reindex keeps names that the bucket has though its listing lacks them', async () => {
      await write('a\nb\nc\n');
      assert.deepEqual(await list.file.reindex(bucketOf(['a', 'b'], ['a'])), {
        names: 2,
        added: 0,
        removed: 1,
      });
      assert.deepEqual(await all(), ['a', 'b']);
    });

    it('reindex keeps names recorded during the listing without asking the bucket', async () => {
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
      assert.deepEqual(await list.file.reindex(bucket), { names: 2, added: 1, removed: 1 });
      assert.deepEqual(await all(), ['a', 'new']);
      assert.deepEqual(asked, ['old']);
    });

    it('a push of a name that reindex is removing is recorded afterwards', async () => {
      await write('a\n');
      await all();
      let recorded: Promise<void> | undefined;
      const has = async () => {
        recorded = record('a');
        await delay(50);
        return false;
      };
      assert.deepEqual(await list.file.reindex({ ...bucketOf([]), has }), { names: 0, added: 0, removed: 1 });
      await recorded;
      assert.deepEqual(await all(), ['a']);
    });

    it('reindex asks the bucket for 16 names concurrently and stops at a failure', async () => {
      await write(rows(Array.from({ length: 100 }, (_, i) => `name-${i}`)));
      let [now, most, asked] = [0, 0, 0];
      const has = async () => {
        most = Math.max(most, ++now);
        await delay(1);
        now--;
        if (++asked === 40) throw new Error('of the bucket');
        return false;
      };
      await assert.rejects(list.file.reindex({ ...bucketOf([]), has }), /of the bucket/);
      await delay(20);
      assert.equal(most, 16);
      assert.ok(asked <= 48, `${asked}`);
      assert.equal((await all()).length, 100);
    });

    it('reindex removes a thousand names during pushes and reads without losing any', async () => {
      const gone = Array.from({ length: 1000 }, (_, i) => `gone-${i}`);
      await write(rows(['a', ...gone]));
      const there = new Set(['a']);
      const has = async (name: string) => {
        await delay(2);
        return there.has(name);
      };
      let [done, longest] = [false, 0];
      const other = await LocalFile.open(list.path);
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
      const { removed } = await list.file.reindex({ ...bucketOf(['a']), has });
      done = true;
      await pushes;
      assert.deepEqual(new Set(await all()), there);
      assert.ok(removed >= 1000 - there.size && there.size > 5, `${removed} removed, ${there.size} there`);
      // The bucket is asked for 200 names at a time under the lock, which is 13 times 2 ms.
      assert.ok(longest < 2000, `${longest} ms`);
    });

    it('reindex works in an unreadable folder and on a file system without owners', async () => {
      await write('old\n');
      const { open } = fs;
      mock.method(fs, 'open', async (at: string, flags: string) => {
        if (at === list.folder.path) throw failure('EACCES');
        const handle = await open(at, flags);
        for (const method of ['chown', 'chmod'] as const)
          mock.method(handle, method, () => Promise.reject(failure('ENOTSUP')));
        return handle;
      });
      await list.file.reindex(bucketOf(['a']));
      assert.equal(await content(), 'a\n');
    });

    it(
      'reindex keeps the mode and owner of the list file',
      { skip: process.getuid?.() !== 0 && 'needs root' },
      async () => {
        await fs.chown(list.path, 12345, 23456);
        await fs.chmod(list.path, 0o664);
        await list.file.reindex(bucketOf(['a']));
        const { uid, gid, mode } = await fs.stat(list.path);
        assert.deepEqual([uid, gid, mode & 0o777], [12345, 23456, 0o664]);
      },
    );

    it('reindex ignores the leftovers of a killed one', async () => {
      await fs.writeFile(`${list.path}.reindexed`, 'half');
      await list.file.reindex(bucketOf(['a']));
      assert.equal(await content(), 'a\n');
      assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
    });

    for (const code of ['EBUSY', 'EXDEV', 'EPERM', 'EACCES']) {
      it(`reindex rewrites the file in place if a rename fails with ${code}`, async () => {
        await write(rows(related));
        const { ino } = await fs.stat(list.path);
        mock.method(fs, 'rename', () => Promise.reject(failure(code)));
        await list.file.reindex(bucketOf(['a', 'c']));
        assert.equal(await content(), 'a\nc\n');
        assert.equal((await fs.stat(list.path)).ino, ino);
        assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
      });
    }

    it('reindex rewrites the file in place if no other can be created beside it', async () => {
      const { open } = fs;
      mock.method(fs, 'open', async (at: string, flags: string) => {
        if (flags === 'wx') throw failure('EROFS');
        return await open(at, flags);
      });
      await list.file.reindex(bucketOf(['a', 'c']));
      assert.equal(await content(), 'a\nc\n');
    });

    it('a full disk leaves the list file unchanged', async () => {
      await write('a\n');
      fillDisk();
      await assert.rejects(list.file.reindex(bucketOf(['bcd', 'efg'])), isUnavailable);
      assert.equal(await content(), 'a\n');
      assert.deepEqual(await files(), ['repositories', 'repositories.lock']);
    });
  });

  describe('with failures', () => {
    it('the list fails while its file is missing', async () => {
      await record('a');
      await all();
      await fs.rm(list.path);
      await assert.rejects(all(), isUnavailable);
      await assert.rejects(list.file.search('a', { size: 1, number: 1 }), isUnavailable);
      await assert.rejects(record('b'), isUnavailable);
      assert.deepEqual(await list.file.reindex(bucketOf(['a', 'b'])), { names: 2, added: 2, removed: 0 });
      assert.deepEqual(await all(), ['a', 'b']);
      await fs.rm(list.path);
      assert.deepEqual(await list.file.reindex(bucketOf([])), { names: 0, added: 0, removed: 0 });
      assert.deepEqual(await all(), []);
    });

    it('the list fails if its folder is missing or its file is a folder', async () => {
      await fs.rm(list.path);
      await fs.mkdir(list.path);
      const everything = async () => {
        await assert.rejects(all(), isUnavailable);
        await assert.rejects(list.file.search('a', { size: 1, number: 1 }), isUnavailable);
        await assert.rejects(record('a'), isUnavailable);
        await assert.rejects(list.file.reindex(bucketOf(['a'])), isUnavailable);
      };
      await everything();
      await fs.rm(list.folder.path, { recursive: true });
      await everything();
    });

    it('the list fails if other processes hold the lock too long', async () => {
      const impatient = await LocalFile.open(list.path, 50);
      await new FileLock(`${list.path}.lock`).during(async () => {
        await assert.rejects(all(impatient), isUnavailable);
        await assert.rejects(record('a', impatient), isUnavailable);
        await assert.rejects(impatient.reindex(bucketOf(['a'])), isUnavailable);
      });
      assert.equal(await content(), '\n');
    });

    it('the error of a list names the setting whose lock is not available', async () => {
      const says = (what: RegExp) => (error: unknown) => isUnavailable(error) && what.test(causeOf(error));
      const impatient = await LocalFile.open(list.path, 50);
      await new FileLock(`${list.path}.lock`).during(async () => {
        await assert.rejects(
          record('a', impatient),
          says(
            /^SEARCH_BACKEND_LOCAL: .*repositories\.lock was held by others for 50 ms, or .*; look for a process/,
          ),
        );
      });
      await fs.writeFile(`${list.path}.lock`, 'x\n');
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

    it('a closed list fails', async () => {
      await list.file.close();
      await assert.rejects(record('a'), isUnavailable);
    });
  });
});
