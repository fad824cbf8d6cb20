import assert from 'node:assert/strict';
import callbacks from 'node:fs';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';

import fc from 'fast-check';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { ObjectUnreadable, StoreUnavailable, type NameOptions } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { believeLocal, believeRemote, clockAdvanced, settle } from './settled-folder.ts';

describe('names in a folder', () => {
  let root: Folder;
  let store: FilesystemStore;
  /** As in another process: what it does, the first store learns from the folder alone. */
  let other: FilesystemStore;
  let damaged: string[];

  const link = (tag: string): string => `tags/${tag}/current/link`;
  const past = (tag: string, digest = '1'): string => `tags/${tag}/index/sha256/${digest}/link`;
  const at = (key: string): string => join(root.path, key);
  const write = async (key: string): Promise<void> => {
    await fs.mkdir(dirname(at(key)), { recursive: true });
    await fs.writeFile(at(key), '');
  };
  const list = async (options: Partial<NameOptions> = {}) =>
    await store.listNames('tags/', { isName: () => true, after: '', limit: 1000, ...options });

  /** The tags that are looked up meanwhile. */
  async function lookedUp(work: () => Promise<unknown>): Promise<string[]> {
    const calls = [mock.method(callbacks, 'lstat'), mock.method(callbacks, 'lstatSync')];
    await work();
    const paths = calls.flatMap(({ mock: { calls } }) => calls.map(({ arguments: [path] }) => String(path)));
    for (const { mock } of calls) mock.restore();
    return paths.flatMap((path) => /\/tags\/([^/]+)\/current\/link$/.exec(path)?.[1] ?? []).sort();
  }

  /** Lists until everything that may be remembered is. */
  async function remember(): Promise<void> {
    await settle(root.path);
    for (let i = 0; i < 3; i++) await list();
  }

  function later(ms: number): void {
    const now = performance.now.bind(performance);
    mock.method(performance, 'now', () => now() + ms);
  }

  beforeEach(async () => {
    believeLocal();
    root = await temporaryFolder('names');
    damaged = [];
    store = await FilesystemStore.open(root.path, { onDamaged: (key) => damaged.push(key) });
    other = await FilesystemStore.open(root.path);
    for (const tag of ['1', '1-a', '1.0', '2']) for (const key of [past(tag), link(tag)]) await write(key);
  });
  afterEach(() => {
    mock.restoreAll();
    root.remove();
  });

  it('names are in byte order and in pages, and have their object', async () => {
    await write('tags/file');
    await write(past('no-link'));
    await fs.mkdir(at('tags/0/current/link'), { recursive: true });
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await list(), ['1', '1-a', '1.0', '2']);
      assert.deepEqual(await list({ limit: 2 }), ['1', '1-a']);
      assert.deepEqual(await list({ after: '1', limit: 2 }), ['1-a', '1.0']);
      assert.deepEqual(await list({ after: '1.' }), ['1.0', '2']);
      assert.deepEqual(await list({ after: '2' }), []);
      assert.deepEqual(await list({ limit: 1, isName: (name) => name.startsWith('1.') }), ['1.0']);
      if (i === 0) await settle(root.path);
    }
    for (const prefix of ['none/', '../', 'tags//', '.tmp/'])
      assert.deepEqual(await store.listNames(prefix, { isName: () => true, after: '', limit: 1 }), []);
  });

  it('a tag is not looked up again within a second', async () => {
    await remember();
    assert.deepEqual(await lookedUp(list), []);
    later(1000);
    assert.deepEqual(await lookedUp(list), ['1', '1-a', '1.0', '2']);
    assert.deepEqual(await lookedUp(list), []);
  });

  it('a page looks up its own tags alone', async () => {
    await settle(root.path);
    await list({ limit: 1 });
    assert.deepEqual(await lookedUp(async () => await list({ limit: 2 })), ['1-a']);
    assert.deepEqual(await lookedUp(async () => await list({ limit: 3 })), ['1.0']);
  });

  it('a tag is looked up each time while it has no link, and appears once it has one', async () => {
    await write(past('new'));
    await remember();
    assert.deepEqual(await lookedUp(list), ['new']);
    await write(link('new'));
    assert.deepEqual(await list(), ['1', '1-a', '1.0', '2', 'new']);
    assert.deepEqual(await lookedUp(list), []);
  });

  it('a pushed tag is on the next list', async () => {
    await remember();
    await other.putInOrder([
      { key: past('new'), bytes: Buffer.alloc(1) },
      { key: link('new'), bytes: Buffer.alloc(1) },
    ]);
    assert.deepEqual(await list(), ['1', '1-a', '1.0', '2', 'new']);
  });

  it('a deleted tag is on no later list, though other files stay in its folder', async () => {
    await write(past('2', '2'));
    await write('tags/1.0/current/other');
    await remember();
    await other.delete([link('2')]);
    assert.deepEqual(await list(), ['1', '1-a', '1.0']);
    await remember();
    // A push that races the delete has written its history, and is killed before its link.
    await other.delete([link('1'), 'tags/1/index/sha256/2/link']);
    assert.deepEqual(await list(), ['1-a', '1.0']);
    await remember();
    await other.delete([link('1.0'), past('1.0')]);
    assert.deepEqual(await list(), ['1-a']);
    await remember();
    await other.delete([link('1-a'), past('1-a')]);
    assert.deepEqual(await list(), []);
  });

  it('a tag that is deleted by distribution is on no later list', async () => {
    await remember();
    await fs.rm(at('tags/1.0'), { recursive: true });
    assert.deepEqual(await list(), ['1', '1-a', '2']);
  });

  it('a tag that is deleted and pushed again within its folder is listed', async () => {
    await remember();
    await other.delete([link('2')]);
    assert.deepEqual(await list(), ['1', '1-a', '1.0']);
    await other.put(link('2'), Buffer.alloc(1));
    assert.deepEqual(await list(), ['1', '1-a', '1.0', '2']);
  });

  it('a tag whose delete was killed in the middle is listed for a second at most', async () => {
    await remember();
    await fs.rm(at(link('2')));
    later(1000);
    assert.deepEqual(await list(), ['1', '1-a', '1.0']);
  });

  it('a tag that is deleted while a list looks at it is on no later list', async () => {
    await settle(root.path);
    await list();
    const { lstatSync } = callbacks;
    const { mock: looks } = mock.method(callbacks, 'lstatSync', (path: string, options: object) => {
      const stats: unknown = Reflect.apply(lstatSync, callbacks, [path, options]);
      if (path === at(link('1.0'))) {
        looks.restore();
        callbacks.rmSync(at('tags/1.0'), { recursive: true });
      }
      return stats;
    });
    later(1000);
    assert.deepEqual(await list(), ['1', '1-a', '1.0', '2']);
    assert.deepEqual(await list(), ['1', '1-a', '2']);
  });

  it('a delete waits until no list has the tag, where the folder of the tags belongs to another user', async () => {
    await remember();
    const { mock: utimes } = mock.method(fs, 'utimes', async () => {
      await Promise.reject(Object.assign(new Error('not the owner'), { code: 'EPERM' }));
    });
    await other.delete([link('2')]);
    assert.equal(utimes.callCount(), 1);
    assert.deepEqual(await list(), ['1', '1-a', '1.0']);
  });

  it('a tag is looked up each time in a folder that has just changed', async () => {
    const { ctimeMs } = await fs.stat(at('tags'));
    mock.method(Date, 'now', () => ctimeMs + 10);
    for (let i = 0; i < 3; i++) assert.deepEqual(await lookedUp(list), ['1', '1-a', '1.0', '2']);
  });

  it('a tag is looked up each time in a folder that has changed in the future', async () => {
    const { ctimeMs } = await fs.stat(at('tags'));
    mock.method(Date, 'now', () => ctimeMs - 60_000);
    for (let i = 0; i < 3; i++) assert.deepEqual(await lookedUp(list), ['1', '1-a', '1.0', '2']);
  });

  it('a tag is looked up each time on a file system whose times may lag', async () => {
    believeRemote();
    await settle(root.path);
    for (let i = 0; i < 3; i++) assert.deepEqual(await lookedUp(list), ['1', '1-a', '1.0', '2']);
  });

  it('a tag whose folder is a link is looked up each time', async () => {
    await write('elsewhere/current/link');
    await fs.symlink(at('elsewhere'), at('tags/linked'));
    await fs.symlink(at('tags'), at('tags/loop'));
    await remember();
    assert.deepEqual(await list(), ['1', '1-a', '1.0', '2', 'linked']);
    await fs.rm(at('elsewhere/current/link'));
    assert.deepEqual(await list(), ['1', '1-a', '1.0', '2']);
  });

  it('a tag on another file system is looked up each time', async () => {
    const { lstatSync } = callbacks;
    mock.method(callbacks, 'lstatSync', (path: string, options: callbacks.StatSyncOptions) => {
      const stats = lstatSync(path, options);
      return path === at(link('2')) ? Object.assign(stats ?? {}, { dev: 1n }) : stats;
    });
    await remember();
    later(1000);
    await list();
    assert.deepEqual(await lookedUp(list), ['2']);
  });

  it('an unreadable tag is reported by each list, and the folder of all tags is an outage', async () => {
    const { lstat } = callbacks;
    let unreadable = link('2');
    mock.method(callbacks, 'lstatSync', () => undefined);
    mock.method(callbacks, 'lstat', (path: string, options: object, done: (error: Error) => void) => {
      if (path.startsWith(at(unreadable))) done(Object.assign(new Error('I/O error'), { code: 'EIO' }));
      else Reflect.apply(lstat, callbacks, [path, options, done]);
    });
    for (let i = 1; i <= 2; i++) {
      assert.deepEqual(await list(), ['1', '1-a', '1.0']);
      assert.deepEqual(damaged, Array<string>(i).fill(link('2')));
    }
    unreadable = 'tags/';
    await assert.rejects(list(), ObjectUnreadable);
  });

  it('a missing folder has no names, but a missing root is an outage', async () => {
    await remember();
    await fs.rm(at('tags'), { recursive: true });
    assert.deepEqual(await list(), []);
    await fs.rm(root.path, { recursive: true });
    await assert.rejects(list(), StoreUnavailable);
  });

  it('lists agree with a plain model while others push and delete', async () => {
    await fs.rm(at('tags'), { recursive: true });
    await settle(root.path);
    const step = fc.record({
      tag: fc.constantFrom('a', 'a-', 'a.b', 'b'),
      change: fc.constantFrom('push', 'push', 'push', 'delete the link', 'delete', 'as distribution', 'none'),
      after: fc.constantFrom('', '', 'a', 'a.', 'b'),
      limit: fc.integer({ min: 1, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 20 }), async (steps) => {
        const present = new Set<string>();
        for (const { tag, change, after, limit } of steps) {
          if (change === 'push') {
            await other.put(past(tag), Buffer.alloc(1));
            await other.put(link(tag), Buffer.alloc(1));
            present.add(tag);
          } else if (change !== 'none') present.delete(tag);
          if (change === 'delete the link') await other.delete([link(tag)]);
          if (change === 'delete') await other.delete([link(tag), past(tag)]);
          if (change === 'as distribution') await fs.rm(at(`tags/${tag}`), { recursive: true, force: true });
          await clockAdvanced(root.path);
          for (let i = 0; i < 2; i++) {
            const expected = [...present].sort().filter((name) => name > after);
            assert.deepEqual(await list({ after, limit }), expected.slice(0, limit));
          }
        }
        await fs.rm(at('tags'), { recursive: true, force: true });
      }),
      { seed: 1, numRuns: 20 },
    );
  });
});
