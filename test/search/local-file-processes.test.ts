import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isRepositoryName } from '../../lib/protocol/names.ts';
import { LocalFile } from '../../lib/search/file/local-file.ts';
import type { Requirement } from '../servers/requires.ts';
import { whileBusy } from './busy.ts';
import { FolderBucket } from './folder-bucket.ts';
import { bucketOf, listFile, rows } from './local-file-fixture.ts';

const run = promisify(execFile);

describe('the list in a local file', () => {
  const list = listFile();
  const { write, content, all, record, files } = list;

  describe('shared by processes', () => {
    const permanent = Array.from({ length: 300 }, (_, i) => `permanent/${i}`);
    let bucket: FolderBucket;
    let bucketPath: string;

    beforeEach(async () => {
      bucketPath = join(list.folder.path, 'bucket');
      bucket = new FolderBucket(bucketPath);
      await fs.mkdir(bucketPath);
      for (const name of permanent) await bucket.push(name);
    });

    /** Runs three processes that record and reindex, and reads meanwhile. Writers that lose a name fail themselves. */
    async function scramble(readAll: () => Promise<readonly string[]>): Promise<void> {
      const program = join(import.meta.dirname, 'local-file-process.ts');
      const ended = new AbortController();
      const writers = Promise.all(
        ['one', 'two', 'three'].map(
          async (name) => await run(process.execPath, [program, list.path, bucketPath, name, '40']),
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

    async function assertSameAsBucket(): Promise<void> {
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
      await list.file.reindex(bucket);
      assert.deepEqual(await all(), expected);
    }

    it('a list file takes a new name and a reindex in time while others constantly record known names', async () => {
      await write('known\n');
      const patient = await LocalFile.open(list.path, 3000);
      await whileBusy(['list', list.path, 'known'], async () => {
        let done = false;
        const loops = [list.file, list.file, patient].map(async (one) => {
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

    it('a list file shared by processes loses no name and is always read whole', async () => {
      await write(rows([...permanent, 'one/0', 'two/x1']));
      await scramble(all);
      await assertSameAsBucket();
    });

    it('a list file is always read whole by programs that ignore the lock', async () => {
      await write(rows(permanent));
      await scramble(async () => (await content()).split('\n').slice(0, -1));
      await assertSameAsBucket();
    });

    it('a list file is rewritten in place if it is the mount point of a container', mountable(), async () => {
      const host = join(list.folder.path, 'host');
      await fs.writeFile(host, rows(permanent));
      const mounted = spawnSync('mount', ['--bind', host, list.path], { encoding: 'utf8' });
      assert.equal(mounted.status, 0, mounted.stderr);
      try {
        const { ino } = await fs.stat(host);
        await assert.rejects(fs.rename(join(bucketPath, 'permanent%2F0'), list.path), { code: 'EBUSY' });
        await scramble(all);
        await assertSameAsBucket();
        assert.equal((await fs.stat(host)).ino, ino);
        assert.equal(await fs.readFile(host, 'utf8'), await content());
        assert.deepEqual(await files(), ['bucket', 'host', 'repositories', 'repositories.lock']);
      } finally {
        spawnSync('umount', [list.path]);
      }
    });
  });
});

/** Skips a test where files cannot be mounted; with `CI=true` it always runs. */
function mountable(): Requirement {
  if (process.env['CI'] === 'true' || canMount()) return {};
  return { skip: 'needs root and the right to mount' };
}

/** Probed, as root in a container may lack the right. */
function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  return spawnSync('unshare', ['--mount', 'mount', '--bind', '/proc/version', '/proc/version']).status === 0;
}
