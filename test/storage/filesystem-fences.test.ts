import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import callbackFs from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it, mock } from 'node:test';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { outcomeOf } from '../../lib/storage/bucket-requests.ts';
import { observedStore } from '../../lib/storage/observed-store.ts';
import { FenceEnded } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { fenceContract, type FencedPlace } from './contract-fences.ts';
import { rejects } from './place.ts';

const content = Buffer.from('content');
const day = 24 * 60 * 60 * 1000;

describe('fences of a folder', () => {
  let root: Folder;

  before(async () => {
    root = await temporaryFolder('fences');
  });
  after(() => {
    root.remove();
  });

  const open = async () => await FilesystemStore.open(root.path);
  const place: FencedPlace = {
    open,
    end: async (fence) => {
      assert.equal(await (await open()).fencing.end(), 0);
      return fence;
    },
    endDeletion: async (fence, key) => {
      const store = await open();
      assert.equal(await store.fencing.endDeletion(await store.head(key)), 0);
      return fence;
    },
  };
  fenceContract(() => place);
});

describe('a fence of a folder', () => {
  let root: Folder;
  let store: FilesystemStore;
  /** Of another process. */
  let other: FilesystemStore;
  const at = (...names: string[]): string => join(root.path, ...names);
  const staging = async () => (await fs.readdir(at('.tmp'))).filter((name) => name !== 'multipart').sort();
  const keys = async (prefix = '') => (await other.list({ prefix })).objects.map(({ key }) => key);
  const record = () => ({ key: `deleting/${randomUUID()}`, bytes: Buffer.from('record') });

  beforeEach(async () => {
    root = await temporaryFolder('fence');
    store = await FilesystemStore.open(root.path);
    other = await FilesystemStore.open(root.path);
  });
  afterEach(() => {
    mock.restoreAll();
    root.remove();
  });

  it('never takes a folder for an object, and each of several links to one file', async () => {
    await store.put('a/b', content);
    await store.put('c/1', content);
    await fs.link(at('c/1'), at('c/2'));
    const fence = await store.fencing.openDeletion(record());
    await store.delete(['a', 'c/1', 'c/2'], { fence });
    assert.deepEqual(await keys('a'), ['a/b']);
    assert.deepEqual(await keys('c/'), []);
  });

  for (const when of ['before it is written', 'while it is placed'])
    it(`that has ended ${when} keeps no object from being placed that comes before and has none`, async () => {
      const { fence } = await store.fencing.open('marks/');
      const end = async () => await other.fencing.end();
      if (when === 'before it is written') await end();
      else {
        const { rename } = callbackFs;
        mock.method(callbackFs, 'rename', (...[from, to, done]: Parameters<typeof rename>) => {
          mock.restoreAll();
          rename(
            from,
            to,
            (error) =>
              void end().then(() => {
                done(error);
              }),
          );
        });
      }
      await assert.rejects(
        store.putInOrder([
          { key: 'bytes', bytes: content },
          { key: 'link', bytes: content, fence },
        ]),
        FenceEnded,
      );
      assert.deepEqual(await keys(), ['bytes']);
    });

  it('is observed like requests to a bucket', async () => {
    const observed: string[] = [];
    const all = observedStore(store, (operation) => (end) => {
      observed.push(`${operation} ${outcomeOf(end)}`);
    });
    const { fence } = await all.fencing.open('marks/');
    await all.fencing.end();
    await rejects(all.put('some', content, { fence }), FenceEnded);
    const deletion = await all.fencing.openDeletion(record());
    await all.delete(['some'], { fence: deletion });
    assert.deepEqual(observed, [
      'ListObjectsV2 success',
      'PutObject precondition_failed',
      'PutObject success',
      'DeleteObjects success',
    ]);
  });

  it('frees what is deleted at once', async () => {
    await store.put('some', content);
    const fence = await store.fencing.openDeletion(record());
    await store.delete(['some'], { fence });
    const [name = ''] = await staging();
    assert.match(name, /^deletion-/);
    assert.deepEqual(await fs.readdir(at('.tmp', name)), []);
  });

  it('is in use however old it is, but what killed processes left in it is removed, as are old deletions', async () => {
    const { fence } = await store.fencing.open('marks/');
    const [name = ''] = await staging();
    await fs.writeFile(at('.tmp', name, 'killed'), 'some');
    const deletion = await store.fencing.openDeletion(record());
    await store.put('there', content);
    mock.timers.enable({ apis: ['Date'], now: Date.now() + 2 * day });
    await FilesystemStore.open(root.path);
    mock.timers.reset();
    assert.deepEqual(await staging(), [name]);
    assert.deepEqual(await fs.readdir(at('.tmp', name)), []);
    await store.put('some', content, { fence });
    await rejects(store.delete(['there'], { fence: deletion }), FenceEnded);
  });

  it('that was removed is no other than the one that is opened after it', async () => {
    const { fence } = await store.fencing.open('marks/');
    for (const name of await staging()) await fs.rm(at('.tmp', name), { recursive: true });
    await other.fencing.open('marks/');
    await rejects(store.put('some', content, { fence }), FenceEnded);
  });

  it('lets a reader list what is in a folder that it cannot write to', async () => {
    await store.put('marks/1', content);
    mock.method(fs, 'mkdir', () =>
      Promise.reject(Object.assign(new Error('EROFS: read-only'), { code: 'EROFS' })),
    );
    const { objects } = await store.fencing.open('marks/');
    assert.deepEqual(
      objects.map(({ key }) => key),
      ['marks/1'],
    );
  });
});
