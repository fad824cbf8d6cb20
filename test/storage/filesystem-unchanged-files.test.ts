import assert from 'node:assert/strict';
import callbacks, { type BigIntStats } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Files } from '../../lib/storage/filesystem/files.ts';
import { UnchangedFiles } from '../../lib/storage/filesystem/unchanged-files.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

const ext4 = 0xef53;

const content = `sha256:${'a'.repeat(64)}`;
const other = `sha256:${'b'.repeat(64)}`;

describe('tiny files that are kept', () => {
  let root: Folder;
  let path: string;
  const written: [string, () => Promise<unknown>][] = [
    [
      'is written in place',
      async () => {
        await fs.writeFile(path, other, { flag: 'r+' });
      },
    ],
    [
      'is emptied and written, as distribution 2 does',
      async () => {
        await fs.writeFile(path, other);
      },
    ],
    [
      'is written in place, and gets its times back',
      async () => {
        const { atime, mtime } = await fs.stat(path);
        await fs.writeFile(path, other, { flag: 'r+' });
        await fs.utimes(path, atime, mtime);
      },
    ],
    [
      'is replaced by a rename',
      async () => {
        await fs.writeFile(`${path}.new`, other);
        await fs.rename(`${path}.new`, path);
      },
    ],
    [
      'is in a folder that is replaced',
      async () => {
        await fs.rename(join(root.path, 'tag'), join(root.path, 'old'));
        await fs.mkdir(join(root.path, 'tag'));
        await fs.writeFile(path, other);
      },
    ],
  ];

  beforeEach(async () => {
    root = await temporaryFolder('unchanged-files');
    await fs.mkdir(join(root.path, 'tag'));
    path = join(root.path, 'tag/link');
    await fs.writeFile(path, content);
    await tick();
  });
  afterEach(() => {
    mock.restoreAll();
    root.remove();
  });

  /** Waits until the kernel's time of changes is another than that of the file. */
  const tick = async () => {
    const { ctimeNs } = await stat();
    const probe = join(root.path, 'probe');
    do await fs.writeFile(probe, '');
    while ((await fs.stat(probe, { bigint: true })).ctimeNs === ctimeNs);
  };

  const stat = async (): Promise<BigIntStats> => await fs.lstat(path, { bigint: true });

  describe('alone', () => {
    let passedMs: number;
    let kept: UnchangedFiles;

    beforeEach(() => {
      passedMs = 10_000;
      kept = new UnchangedFiles(() => Date.now() + passedMs);
    });

    it('one that has not changed has its bytes, in memory of their own', async () => {
      const bytes = Buffer.from(content);
      kept.add(path, await stat(), bytes);
      bytes.fill('x');
      const found = kept.get(path, await stat());
      assert.equal(found?.toString(), content);
      assert.equal(found.buffer.byteLength, content.length);
    });

    it('one that was changed within two seconds is not kept, or has a time in the future', async () => {
      for (passedMs of [0, 1500, -10_000]) {
        kept.add(path, await stat(), Buffer.from(content));
        assert.equal(kept.has(path), false);
      }
    });

    it('one that is not tiny is not kept', async () => {
      kept.add(path, await stat(), Buffer.alloc(257));
      assert.equal(kept.has(path), false);
    });

    it('4096 are kept at most', async () => {
      const stats = await stat();
      for (let i = 0; i <= 4096; i++) kept.add(`path-${i}`, stats, Buffer.from(content));
      assert.equal(kept.has('path-0'), false);
      assert.equal(kept.has('path-1'), true);
      assert.equal(kept.has('path-4096'), true);
    });

    for (const [how, write] of written)
      it(`one that ${how} is read again`, async () => {
        kept.add(path, await stat(), Buffer.from(content));
        await write();
        assert.equal(kept.get(path, await stat()), undefined);
        assert.equal(kept.has(path), false);
      });
  });

  describe('of a folder', () => {
    let files: Files;

    beforeEach(async () => {
      mock.method(
        callbacks,
        'statfs',
        (_: string, done: (error: null, stats: { readonly type: number }) => void) => {
          done(null, { type: ext4 });
        },
      );
      const { now } = Date;
      mock.method(Date, 'now', () => now() + 10_000);
      files = new Files();
      for (let i = 0; i < 3; i++) {
        assert.equal(await read(), content);
        await setImmediate();
      }
    });

    const read = async () => (await files.read(path, 100)).bytes?.toString();

    it('one that has not changed is looked up and not read', async () => {
      const [opened, looked] = [
        mock.method(callbacks, 'openSync').mock,
        mock.method(callbacks, 'lstatSync').mock,
      ];
      assert.equal(await read(), content);
      assert.deepEqual([opened.callCount(), looked.callCount()], [0, 1]);
      assert.equal((await files.read(path, 10)).bytes, undefined);
    });

    for (const [how, write] of written)
      it(`one that ${how} is seen at once`, async () => {
        await write();
        assert.equal(await read(), other);
        assert.equal(await read(), other);
      });

    it('one that is gone, or a link now, is not read', async () => {
      await fs.rm(path);
      await assert.rejects(read, { code: 'ENOENT' });
      await fs.symlink('/etc/hostname', path);
      await assert.rejects(read, { code: 'ELOOP' });
    });
  });
});
