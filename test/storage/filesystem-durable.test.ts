import assert from 'node:assert/strict';
import callbacks from 'node:fs';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { InvalidKey, PreconditionFailed } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { mountMemory, requiresMounts } from '../servers/mounts.ts';
import { recordSyncs } from './recorded-syncs.ts';

const content = Buffer.from('content');

type Done<T> = (error: Error | null, result?: T) => void;

/**
 * What of a folder a power cut undoes is what was not synced of it. Counted are the changes of each folder's entries since it
 * was synced, by the calls that make them.
 */
describe('filesystem store, at a power cut', () => {
  let root: Folder;
  let store: FilesystemStore;
  let changed: Set<string>;
  let early: string[];
  const at = (...names: string[]): string => join(root.path, ...names);

  /** Folders of objects with changes that were not synced; temporary files and hints may be lost. */
  const unsynced = (): string[] =>
    [...changed].filter((path) => !/\/(\.tmp|\.metadata|_stowage~tmp)(\/|$)/.test(path));

  beforeEach(async () => {
    root = await temporaryFolder('durable');
    store = await FilesystemStore.open(root.path);
    ({ changed, early } = recordSyncs());
  });
  afterEach(() => {
    mock.restoreAll();
    root.remove();
  });

  const upload = async (key: string) => {
    const id = await store.createMultipart(key);
    return { id, parts: [await store.uploadPart(key, id, 1, content)] };
  };

  it('a power cut keeps objects and their new folders', async () => {
    await store.put('a/b/c/d', content, { metadata: { of: 'it' } });
    assert.deepEqual(unsynced(), []);
    await store.put('a/b/e', content);
    assert.deepEqual(unsynced(), []);
    assert.deepEqual(early, []);
  });

  it('a power cut keeps objects that are written in order, each with its bytes', async () => {
    const object = (key: string, metadata?: Record<string, string>) => {
      return { key, bytes: content, ...(metadata && { metadata }) };
    };
    await store.putInOrder([object('a/b/data', { of: 'it' }), object('c/d/e/link'), object('c/d/f/link')]);
    assert.deepEqual(unsynced(), []);
    await store.putInOrder([object('a/b/data'), object('a/c/data')]);
    assert.deepEqual(unsynced(), []);
    assert.deepEqual(early, []);
    assert.deepEqual((await store.head('a/b/data', { metadata: true })).metadata, {});
  });

  it('objects that are written in order appear in it, and what follows a failure does not', async () => {
    await store.put('c/link', content);
    const { rename } = callbacks;
    const appeared: string[] = [];
    mock.method(callbacks, 'rename', (from: string, to: string, done: Done<void>) => {
      appeared.push(to);
      rename(from, to, done);
    });
    const objects = ['a/data', 'b/link', 'c/link/below', 'd/link'].map((key) => ({ key, bytes: content }));
    await assert.rejects(store.putInOrder(objects), InvalidKey);
    assert.deepEqual([...new Set(appeared)], [at('a/data'), at('b/link'), at('c/link/below')]);
    const { objects: there } = await store.list({});
    assert.deepEqual(
      there.map(({ key }) => key),
      ['a/data', 'b/link', 'c/link'],
    );
    assert.deepEqual(await fs.readdir(at('.tmp')), ['multipart']);
  });

  it('transient objects do not wait for the disk', async () => {
    await store.put('u/0/session', content);
    const { mock: fsync } = mock.method(callbacks, 'fsync');
    await store.put('u/1/session', content, { transient: true, onlyIfAbsent: true });
    await store.put('u/1/session', Buffer.from('more'), { transient: true });
    assert.equal((await store.read('u/1/session', 10)).bytes.toString(), 'more');
    await store.delete(['u/1/session', 'u/2/session'], { transient: true });
    assert.equal(fsync.callCount(), 0);
    assert.deepEqual(await fs.readdir(at('u')), ['0']);
  });

  it('a power cut keeps the folders that a transient object shares with others', async () => {
    await store.put('a/u/1/session', content, { transient: true });
    await store.put('a/b/data', content);
    assert.deepEqual(
      unsynced().filter((path) => path !== at('a/u/1')),
      [],
    );
  });

  it('a power cut keeps what was created only if absent, also where the writer learns that it exists', async () => {
    await store.put('a/b/c/d', content, { onlyIfAbsent: true });
    assert.deepEqual(unsynced(), []);
    // As another writer leaves it that has not come to its sync yet.
    changed.add(at('a/b/c'));
    await assert.rejects(store.put('a/b/c/d', content, { onlyIfAbsent: true }), PreconditionFailed);
    assert.deepEqual(unsynced(), []);
  });

  it('a power cut restores no deleted objects or empty folders', async () => {
    for (const key of ['r/a/x', 'r/a/y', 'r/b/c/x', 'r/b/d/x', 's/x/y']) await store.put(key, content);
    await store.delete(['r/a/x']);
    assert.deepEqual(unsynced(), []);
    await store.delete(['r/a/y', 'r/b/c/x', 'none/at/all', 's/x/y']);
    assert.deepEqual(unsynced(), []);
    await store.delete(['r/b/d/x']);
    assert.deepEqual(unsynced(), []);
    assert.deepEqual((await fs.readdir(root.path)).sort(), ['.metadata', '.tmp']);
  });

  it('a power cut restores nothing whose folder another delete removed before its sync', async () => {
    for (const key of ['r/a/x', 'r/a/y', 's']) await store.put(key, content);
    const { open, openSync } = callbacks;
    let others = 1;
    // Just before the first delete syncs the folder.
    const removeOther = (path: string) => {
      if (path !== at('r/a') || others-- <= 0) return;
      callbacks.unlinkSync(at('r/a/y'));
      changed.add(at('r/a'));
      for (const folder of ['r/a', 'r']) {
        callbacks.rmdirSync(at(folder));
        changed.delete(at(folder));
        changed.add(dirname(at(folder)));
      }
    };
    mock.method(callbacks, 'openSync', (path: string, flags: number) => {
      removeOther(path);
      return openSync(path, flags);
    });
    mock.method(callbacks, 'open', (path: string, flags: number, done: Done<number>) => {
      removeOther(path);
      open(path, flags, done);
    });
    await store.delete(['r/a/x']);
    assert.deepEqual(unsynced(), []);
  });

  it('a power cut keeps completed and moved objects', async () => {
    const { id, parts } = await upload('u/1/data');
    const info = await store.completeMultipart('u/1/data', id, parts);
    assert.deepEqual(unsynced(), []);
    await store.move('u/1/data', 'blobs/a/data', info);
    // That it comes back under its old key as well does no harm.
    assert.deepEqual(
      unsynced().filter((path) => !path.startsWith(at('u')) && path !== root.path),
      [],
    );
  });

  it('a power cut keeps uploads and restores no aborted ones', async () => {
    const { id } = await upload('u/1/data');
    assert.deepEqual([...changed], []);
    await store.abortMultipart('u/1/data', id);
    assert.deepEqual([...changed], []);
  });

  it('a power cut keeps objects moved from another mount', requiresMounts(), async () => {
    mountMemory(at('blobs'));
    store = await FilesystemStore.open(root.path);
    await store.put('u/1/data', content);
    await store.move('u/1/data', 'blobs/a/data');
    assert.deepEqual(
      unsynced().filter((path) => path.startsWith(at('blobs'))),
      [],
    );
    await store.delete(['blobs/a/data']);
    assert.deepEqual(
      unsynced().filter((path) => path.startsWith(at('blobs'))),
      [],
    );
  });
});
