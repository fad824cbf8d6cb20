import assert from 'node:assert/strict';
import callbacks from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { Files } from '../../lib/storage/filesystem/files.ts';
import { RecentPaths } from '../../lib/storage/filesystem/recent-paths.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

const ext4 = 0xef53;
const nfs = 0x6969;

describe('look-ups of small files', () => {
  let root: Folder;
  let path: string;
  let files: Files;

  beforeEach(async () => {
    root = await temporaryFolder('files');
    path = join(root.path, 'link');
    files = new Files();
    await fs.writeFile(path, 'content');
    onFileSystem(ext4);
  });
  afterEach(() => {
    mock.restoreAll();
    root.remove();
  });

  function onFileSystem(type: number): void {
    mock.method(
      callbacks,
      'statfs',
      (_: string, done: (error: null, stats: { readonly type: number }) => void) => {
        done(null, { type });
      },
    );
  }

  /** Looks up and reads the file until its file system is known, and then counts how that is done. */
  async function calls() {
    for (let i = 0; i < 2; i++) {
      await files.lstat(path);
      await files.read(path, 100);
      await setImmediate();
    }
    const names = ['lstat', 'open', 'lstatSync', 'openSync'] as const;
    const mocks = names.map((name) => mock.method(callbacks, name).mock);
    return () => Object.fromEntries(names.map((name, i) => [name, mocks[i]?.callCount()]));
  }

  async function use(): Promise<string | undefined> {
    await files.lstat(path);
    return (await files.read(path, 100)).bytes?.toString();
  }

  it('what was used lately on a local file system is looked up and read synchronously', async () => {
    const counts = await calls();
    await use();
    assert.deepEqual(counts(), { lstat: 0, open: 0, lstatSync: 1, openSync: 1 });
  });

  it('other requests have their turn after 5 ms', async () => {
    await calls();
    assert.ok(files.lstatNow(path));
    const started = performance.now();
    while (performance.now() - started < 6);
    assert.equal(files.lstatNow(path), undefined);
    assert.equal(await use(), 'content');
    await setImmediate();
    assert.ok(files.lstatNow(path));
  });

  it('what was just written is read synchronously', async () => {
    const counts = await calls();
    const other = join(root.path, 'other');
    await fs.writeFile(other, 'other');
    files.used(other, await fs.lstat(other, { bigint: true }));
    assert.equal((await files.read(other, 100)).bytes?.toString(), 'other');
    assert.deepEqual(counts(), { lstat: 0, open: 0, lstatSync: 0, openSync: 1 });
  });

  it('nothing is asked synchronously on a file system that may wait for a network', async () => {
    onFileSystem(nfs);
    const counts = await calls();
    await use();
    assert.deepEqual(counts(), { lstat: 1, open: 1, lstatSync: 0, openSync: 0 });
  });

  it('nothing is asked synchronously for a second after a call that had to wait', async () => {
    const counts = await calls();
    const start = performance.now();
    let passed = 0;
    mock.method(performance, 'now', () => start + passed);
    const { lstatSync } = callbacks;
    const slow = mock.method(callbacks, 'lstatSync', (...parameters: Parameters<typeof lstatSync>) => {
      passed = 51;
      return lstatSync(...parameters);
    });
    await use();
    assert.equal(slow.mock.callCount(), 1);
    assert.equal(counts()['open'], 1);
    passed = 1050;
    await use();
    assert.equal(slow.mock.callCount(), 1);
    passed = 1052;
    await use();
    assert.equal(slow.mock.callCount(), 2);
  });

  it('nothing is kept: each call sees what is there', async () => {
    await calls();
    await fs.writeFile(`${path}.new`, 'another content');
    await fs.rename(`${path}.new`, path);
    assert.equal(await use(), 'another content');
    await fs.truncate(path);
    assert.equal(await use(), '');
    await fs.rm(path);
    // One after the other: a rejection that nobody waits for yet would end the test.
    for (const call of [async () => await files.lstat(path), async () => await files.read(path, 100)])
      await assert.rejects(call, { code: 'ENOENT' });
    await fs.symlink('/etc/hostname', path);
    assert.equal((await files.lstat(path)).isSymbolicLink(), true);
    await assert.rejects(files.read(path, 100), { code: 'ELOOP' });
  });

  it('too large a file is not read, and no large one synchronously', async () => {
    const counts = await calls();
    assert.equal((await files.read(path, 6)).bytes, undefined);
    const large = Buffer.alloc(64 * 1024 + 1, 'x');
    await fs.writeFile(path, large);
    for (let i = 0; i < 2; i++) assert.deepEqual((await files.read(path, large.length)).bytes, large);
    assert.deepEqual(counts(), { lstat: 0, open: 2, lstatSync: 0, openSync: 2 });
  });

  it('files that others own are read asynchronously, as their time of access may be written', async () => {
    const counts = await calls();
    const { openSync } = callbacks;
    const refused = mock.method(callbacks, 'openSync', (_: string, flags: number) => {
      assert.equal(flags & callbacks.constants.O_NOATIME, callbacks.constants.O_NOATIME);
      throw Object.assign(new Error('of the test'), { code: 'EPERM' });
    });
    for (let i = 0; i < 3; i++) assert.equal(await use(), 'content');
    assert.equal(refused.mock.callCount(), 1);
    assert.equal(counts()['open'], 3);
    assert.notEqual(callbacks.openSync, openSync);
  });
});

describe('recent paths', () => {
  it('paths are forgotten seconds after their last use', () => {
    let now = 0;
    const recent = new RecentPaths(() => now);
    recent.add('a');
    recent.add('b');
    for (const time of [4000, 8000, 12_000, 16_000]) {
      now = time;
      assert.equal(recent.has('a'), true, `${time}`);
    }
    assert.equal(recent.has('b'), false);
    now = 30_000;
    assert.equal(recent.has('a'), false);
    recent.add('c');
    recent.delete('c');
    assert.equal(recent.has('c'), false);
  });

  it('paths are remembered up to a limit', () => {
    const recent = new RecentPaths(() => 0);
    const count = 50_000;
    for (let i = 0; i < count; i++) recent.add(`${i}`);
    const known = Array.from({ length: count }, (_, i) => recent.has(`${i}`)).filter(Boolean).length;
    assert.ok(known <= 2 * 8192, `${known}`);
    assert.equal(recent.has(`${count - 1}`), true);
  });
});
