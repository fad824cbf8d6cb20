import assert from 'node:assert/strict';
import callbacks from 'node:fs';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { PreconditionFailed } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { mountMemory, requiresMounts } from '../servers/mounts.ts';

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
  const at = (...names: string[]): string => join(root.path, ...names);

  /** Folders of objects with changes that were not synced; temporary files and hints may be lost. */
  const unsynced = (): string[] =>
    [...changed].filter((path) => !/\/(\.tmp|\.metadata|_stowage~tmp)(\/|$)/.test(path));

  const record = (): void => {
    changed = new Set();
    const { rename, unlink, rmdir, mkdir, link } = fs;
    const change = async <T>(work: Promise<T>, ...paths: string[]): Promise<T> => {
      const result = await work;
      for (const path of paths) changed.add(dirname(path));
      return result;
    };
    mock.method(fs, 'rename', (from: string, to: string) => change(rename(from, to), from, to));
    mock.method(fs, 'link', (from: string, to: string) => change(link(from, to), to));
    mock.method(fs, 'unlink', (path: string) => change(unlink(path), path));
    mock.method(fs, 'rmdir', async (path: string) => {
      await change(rmdir(path), path);
      changed.delete(path);
    });
    mock.method(fs, 'mkdir', async (path: string, options?: { recursive: true }) => {
      const first = await mkdir(path, options);
      if (options?.recursive !== true) changed.add(dirname(path));
      for (let made = path; first !== undefined && made.length >= first.length; made = dirname(made))
        changed.add(dirname(made));
      return first;
    });
    recordSyncs();
  };

  /** Folders are opened and synced by callbacks, or synchronously. */
  const recordSyncs = (): void => {
    const { open, openSync, fsync } = callbacks;
    const opened = new Map<number, string>();
    mock.method(callbacks, 'openSync', (path: string, flags: number) => {
      const file = openSync(path, flags);
      opened.set(file, path);
      return file;
    });
    mock.method(callbacks, 'open', (path: string, flags: number, done: Done<number>) => {
      open(path, flags, (error, file) => {
        opened.set(file, path);
        done(error, file);
      });
    });
    mock.method(callbacks, 'fsync', (file: number, done: Done<void>) => {
      fsync(file, (error) => {
        changed.delete(opened.get(file) ?? '');
        done(error);
      });
    });
  };

  beforeEach(async () => {
    root = await temporaryFolder('durable');
    store = await FilesystemStore.open(root.path);
    record();
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
