import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { StoreUnavailable } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { mountFolder, mountMemory, requiresMounts, unmount } from '../servers/mounts.ts';
import { rejects } from './place.ts';

const content = Buffer.from('content');
const v2 = 'docker/registry/v2';
const deepKey = `${v2}/repositories/a/b/c/d/_layers/link`;
const record = { key: `${v2}/gc/deleting/1`, bytes: content };

describe('whether a folder enforces fences', () => {
  let root: Folder;
  let elsewhere: Folder;
  const at = (...names: string[]): string => join(root.path, ...names);
  const open = async () => await FilesystemStore.open(root.path);

  beforeEach(async () => {
    root = await temporaryFolder('refusal');
    elsewhere = await temporaryFolder('elsewhere');
  });
  afterEach(() => {
    mock.restoreAll();
    root.remove();
    elsewhere.remove();
  });

  /** Asserts that it refuses, says why, and deletes nothing. */
  const assertRefuses = async (store: FilesystemStore, why: RegExp) => {
    assert.match((await store.fencing.refusal()) ?? '', why);
    await rejects(store.fencing.end(), StoreUnavailable);
    await rejects(store.fencing.openDeletion(record), StoreUnavailable);
    assert.deepEqual((await store.list({ prefix: record.key })).objects, []);
  };

  it('depends on its file system: NFS and what is unknown do not', async () => {
    const store = await open();
    assert.equal(await store.fencing.refusal(), undefined);
    for (const type of [0x6969, 0x65735546, 0x794c7630]) {
      mock.method(fs, 'statfs', () => Promise.resolve({ type }));
      await assertRefuses(store, new RegExp(`type 0x${type.toString(16)}, which is not known`));
      mock.restoreAll();
    }
  });

  const arrangements: Readonly<Record<string, () => void>> = {
    ...Object.fromEntries(
      ['docker', v2, `${v2}/blobs`, `${v2}/repositories`, `${v2}/blobs/sha256/ab`, '.tmp'].map((path) => [
        `${path} on a disk of its own`,
        () => {
          mountMemory(at(path));
        },
      ]),
    ),
    'docker as another mount of the same disk': () => {
      mountFolder(join(elsewhere.path, 'images'), at('docker'));
    },
  };
  for (const [what, arrange] of Object.entries(arrangements))
    it(`it does not with ${what}`, requiresMounts(), async () => {
      arrange();
      await assertRefuses(await open(), /is on another mount than .*\/\.tmp; move it to the same one/);
    });

  it(
    'it does not with a deep folder with a blank in its name on a disk of its own',
    requiresMounts(),
    async () => {
      const path = at(v2, 'repositories/a/b/c/d/e f/g');
      mountMemory(path);
      try {
        await assertRefuses(await open(), /e f\/g is on another mount/);
      } finally {
        unmount(path);
      }
    },
  );

  it('it does with other folders of its own on another disk', requiresMounts(), async () => {
    for (const path of ['.metadata', '.tmp/multipart']) mountMemory(at(path));
    assert.equal(await (await open()).fencing.refusal(), undefined);
  });

  it('it does not with a link to another disk', requiresMounts(), async () => {
    mountMemory(join(elsewhere.path, 'disk'));
    await fs.mkdir(at(v2, 'repositories'), { recursive: true });
    await fs.symlink(join(elsewhere.path, 'disk'), at(v2, 'repositories/team'));
    await assertRefuses(await open(), /repositories\/team is on another mount/);
  });

  it(
    'it does not once a process has written to another mount, which its collector need not see',
    requiresMounts(),
    async () => {
      const collector = await open();
      mountMemory(at(v2, 'repositories'));
      const writer = await open();
      const { fence } = await writer.fencing.open(v2);
      await writer.put(deepKey, content, { fence });
      await writer.put(deepKey, content, { fence, onlyIfAbsent: false });
      assert.deepEqual((await writer.read(deepKey, 100)).bytes, content);
      unmount(at(v2, 'repositories'));
      await assertRefuses(collector, new RegExp(`a process has written ${deepKey} to another mount`));
      // Also days later.
      mock.timers.enable({ apis: ['Date'], now: Date.now() + 1e9 });
      const later = await open();
      mock.timers.reset();
      await assertRefuses(later, /a process has written/);
      await fs.rm(at('.tmp/unlimited'));
      assert.equal(await collector.fencing.refusal(), undefined);
    },
  );

  it('writes land on any mount, also one that is found by the write', requiresMounts(), async () => {
    mountMemory(join(elsewhere.path, 'disk'));
    await fs.mkdir(at(deepKey, '../../..'), { recursive: true });
    await fs.symlink(join(elsewhere.path, 'disk'), at(deepKey, '../..'));
    const store = await open();
    const { fence } = await store.fencing.open(v2);
    await store.put(deepKey, content, { fence });
    assert.deepEqual((await store.read(deepKey, 100)).bytes, content);
    await assertRefuses(store, /another mount/);
  });

  it('deletes with a fence take nothing on another mount', requiresMounts(), async () => {
    const store = await open();
    const fence = await store.fencing.openDeletion(record);
    mountMemory(at(v2, 'repositories'));
    const other = await open();
    await other.put(deepKey, content);
    await rejects(store.delete([deepKey], { fence }), StoreUnavailable, deepKey);
    assert.deepEqual((await other.read(deepKey, 100)).bytes, content);
  });
});
