import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import fc from 'fast-check';

import { Files } from '../../lib/storage/filesystem/files.ts';
import { FolderEntries } from '../../lib/storage/filesystem/folder-entries.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { allPages, expectedEntries, listOptionsOf } from './contract-listing.ts';
import { believeLocal, believeRemote, clockAdvanced, settle } from './settled-folder.ts';

describe('listings of a folder that was listed before', () => {
  let root: Folder;
  let store: FilesystemStore;
  const at = (...names: string[]): string => join(root.path, ...names);
  const write = async (key: string): Promise<void> => {
    await fs.mkdir(dirname(at(key)), { recursive: true });
    await fs.writeFile(at(key), '');
  };
  const catalog = { prefix: 'r/', delimiter: '/_' };
  const list = async () => (await store.list(catalog)).prefixes;

  /** The folders that are read meanwhile. */
  async function foldersRead(work: () => Promise<unknown>): Promise<string[]> {
    const { mock: read } = mock.method(fs, 'readdir');
    await work();
    const paths = read.calls.map(({ arguments: [path] }) => String(path).slice(root.path.length + 1));
    read.restore();
    return paths;
  }

  beforeEach(async () => {
    believeLocal();
    root = await temporaryFolder('listing');
    store = await FilesystemStore.open(root.path);
    for (const name of ['app', 'app-web', 'app/x', 'web']) {
      await write(`r/${name}/_layers/sha256/1/link`);
      await write(`r/${name}/_manifests/tags/1/current/link`);
    }
  });
  afterEach(() => {
    mock.restoreAll();
    root.remove();
  });

  it('a list of repositories reads no folder that has not changed', async () => {
    await settle(root.path);
    for (let i = 0; i < 2; i++)
      assert.deepEqual(await list(), ['r/app-web/_', 'r/app/_', 'r/app/x/_', 'r/web/_']);
    assert.deepEqual(await foldersRead(list), []);
    await write('r/app/new/_layers/sha256/1/link');
    const read = await foldersRead(async () => {
      assert.deepEqual(await list(), ['r/app-web/_', 'r/app/_', 'r/app/new/_', 'r/app/x/_', 'r/web/_']);
    });
    assert.deepEqual(read, [
      'r/app/',
      'r/app/new/',
      ...['r/app/new/_layers/', 'r/app/new/_layers/sha256/', 'r/app/new/_layers/sha256/1/'],
    ]);
  });

  it('a repository stays on the list until its last object is deleted', async () => {
    await settle(root.path);
    for (let i = 0; i < 2; i++) await list();
    await fs.rm(at('r/web/_layers/sha256/1/link'));
    assert.deepEqual((await list()).at(-1), 'r/web/_');
    await fs.rm(at('r/web/_manifests/tags/1/current/link'));
    assert.deepEqual((await list()).at(-1), 'r/app/x/_');
    await write('r/web/_manifests/tags/1/current/link');
    assert.deepEqual((await list()).at(-1), 'r/web/_');
  });

  it('a folder is read each time until it is older than the resolution of its time', async () => {
    const { ctimeNs, ctimeMs } = await fs.stat(at('r'), { bigint: true });
    const resolution = ctimeNs % 1_000_000_000n === 0n ? 2000 : 50;
    let age = resolution;
    mock.method(Date, 'now', () => Number(ctimeMs) + age);
    for (let i = 0; i < 2; i++) await list();
    assert.ok((await foldersRead(list)).includes('r/'));
    age++;
    await list();
    assert.ok(!(await foldersRead(list)).includes('r/'));
  });

  it('a folder is read each time on a file system whose times may lag', async () => {
    believeRemote();
    await settle(root.path);
    for (let i = 0; i < 2; i++) await list();
    assert.ok((await foldersRead(list)).includes('r/'));
  });

  it('a listing agrees with a plain model while other processes write', async () => {
    await settle(root.path);
    const all = ['a/_x', 'a/b', 'a/b-c/d', 'a/c/_x/d', 'a/c/e', 'a-b/c', 'b/a/_x', 'b/a/c/_x', 'c', 'd/_x'];
    const commands = fc.array(fc.tuple(fc.constantFrom(...all), listOptionsOf('', all)), {
      minLength: 10,
      maxLength: 20,
    });
    await fs.rm(at('r'), { recursive: true });
    await fc.assert(
      fc.asyncProperty(commands, async (steps) => {
        const other = await FilesystemStore.open(root.path);
        const present = new Set<string>();
        for (const [key, options] of steps) {
          if (present.delete(key)) await other.delete([key]);
          else {
            await write(key);
            present.add(key);
          }
          await clockAdvanced(root.path);
          const sorted = all.filter((one) => present.has(one)).sort();
          assert.deepEqual(await allPages(store, options), expectedEntries(sorted, options));
        }
        await other.delete([...present]);
      }),
      { seed: 1, numRuns: 20 },
    );
  });

  it('folders are remembered up to a number of bytes, the last ones', async () => {
    for (const folder of ['1', '2', '3']) for (let i = 0; i < 10; i++) await write(`${folder}/${i}`);
    await fs.mkdir(at('large'));
    for (let i = 0; i < 50; i++) await write(`large/${i}`);
    await settle(root.path);
    const ofTen = 640 + at('1', '/').length + 10 * 97;
    // Shared by two workers, and one byte less than three of them need.
    const entries = new FolderEntries(new Files(), 2, 2 * (3 * ofTen - 1));
    const use = async (...folders: string[]) =>
      await foldersRead(async () => {
        for (const folder of folders) {
          await entries.of(at(folder, '/'));
          await setImmediate();
        }
      });
    await use('1', '1', '2', '1');
    assert.deepEqual(await use('1', '2'), []);
    assert.deepEqual(await use('3', '2', '3'), ['3/']);
    assert.deepEqual(await use('1', '3', '2'), ['1/', '2/']);
    assert.deepEqual(await use('large', 'large', '2', '3'), ['large/', 'large/']);
  });
});
