import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import callbacks from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { FenceEnded, ObjectNotFound } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { leftovers, PowerCut } from './power-cut.ts';
import { rejects } from './place.ts';

const content = Buffer.from('content');

describe('a fence of a folder whose processes stop or die', () => {
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

  /**
   * Stops the first process before one of its calls that change the folder, and lets another one do something meanwhile.
   * @param index of the call, from 0
   * @returns whether there was such a call
   */
  const stopBefore = (index: number, meanwhile: () => Promise<void>) => {
    const state = { calls: 0, isMeanwhile: false };
    const stop = async () => {
      if (state.isMeanwhile || state.calls++ !== index) return;
      state.isMeanwhile = true;
      await meanwhile();
      state.isMeanwhile = false;
    };
    for (const name of [
      'open',
      'write',
      'futimes',
      'rename',
      'mkdir',
      'unlink',
      'rmdir',
      'lstat',
      'fsync',
    ] as const) {
      const real = callbacks[name] as (...args: unknown[]) => void;
      mock.method(callbacks, name, (...args: unknown[]) => {
        void stop().then(() => {
          real(...args);
        });
      });
    }
    const { link } = fs;
    mock.method(fs, 'link', async (from: string, to: string) => {
      await stop();
      await link(from, to);
    });
    return () => state.calls > index;
  };

  for (const onlyIfAbsent of [false, true])
    it(`lets nothing land after its end, wherever a put stops${onlyIfAbsent ? ' that must be new' : ''}`, async () => {
      const outcomes = new Set<string>();
      for (let index = 0; ; index++) {
        const { fence } = await store.fencing.open('marks/');
        const key = `put/${index}/link`;
        let atEnd: boolean | undefined;
        const stopped = stopBefore(index, async () => {
          await other.fencing.end();
          atEnd = callbacks.existsSync(at(key));
        });
        const outcome = await store.put(key, content, { fence, onlyIfAbsent }).then(
          () => 'landed',
          (error: unknown) => {
            assert.ok(error instanceof FenceEnded, String(error));
            return 'refused';
          },
        );
        const wasStopped = stopped();
        mock.restoreAll();
        if (!wasStopped) break;
        outcomes.add(outcome);
        assert.equal(callbacks.existsSync(at(key)), outcome === 'landed', `${index}`);
        assert.equal(callbacks.existsSync(at(key)), atEnd, `${index}`);
        // A folder without an object would look like a repository or a tag.
        if (outcome === 'refused') assert.equal(callbacks.existsSync(at('put', `${index}`)), false);
      }
      assert.deepEqual([...outcomes].sort(), ['landed', 'refused']);
    });

  it('lets nothing be deleted after its end, wherever a delete stops', async () => {
    let goesOn = true;
    let refused = 0;
    for (let index = 0; goesOn; index++) {
      const key = `delete/${index}/link`;
      await store.put(key, content, { metadata: { of: 'it' } });
      const { key: recordKey, bytes } = record();
      const fence = await store.fencing.openDeletion({ key: recordKey, bytes });
      const stopped = stopBefore(index, async () => {
        await other.fencing.endDeletion(await other.head(recordKey));
        await other.put(key, Buffer.from('again'));
      });
      await store.delete([key], { fence }).catch((error: unknown) => {
        assert.ok(error instanceof FenceEnded, String(error));
        refused += 1;
      });
      goesOn = stopped();
      mock.restoreAll();
      if (goesOn) assert.equal((await other.read(key, 100)).bytes.toString(), 'again', `${index}`);
      else await rejects(other.head(key), ObjectNotFound);
    }
    assert.ok(refused > 0);
  });

  it('lets nothing land after its end while other processes write all the time', async () => {
    const program = join(import.meta.dirname, 'fence-race.ts');
    const writers = ['a', 'b', 'c'].map((name) => {
      const child = spawn(process.execPath, [program, root.path, name], {
        stdio: ['pipe', 'ignore', 'pipe'],
      });
      return { child, exited: once(child, 'exit'), errors: text(child.stderr) };
    });
    try {
      const seen = new Set<string>();
      const allRun = () => writers.every(({ child }) => child.exitCode === null);
      while (seen.size < 30 && allRun()) {
        await store.fencing.end();
        const [current = ''] = (await staging()).filter((name) => name.startsWith('fence-'));
        const ended = async () => (await keys('race/')).filter((key) => !key.startsWith(`race/${current}/`));
        const landed = await ended();
        for (const key of landed) seen.add(key.split('/')[1] ?? '');
        await sleep(2);
        assert.deepEqual(await ended(), landed);
        await store.delete(landed);
      }
    } finally {
      for (const { child } of writers) child.stdin.end();
      for (const { exited, errors } of writers) {
        assert.deepEqual([(await exited)[0], await errors], [0, '']);
      }
    }
  });

  /** All calls that change a folder fail after some of them, as if the process had died. */
  const dieAfter = (calls: number) => {
    let left = calls;
    const die = () => {
      if (left-- <= 0) throw new Error('the process has died');
    };
    for (const name of ['mkdir', 'rm'] as const) {
      const real = fs[name] as (...args: unknown[]) => Promise<unknown>;
      mock.method(fs, name, async (...args: unknown[]) => {
        die();
        return await real(...args);
      });
    }
    for (const name of ['rename', 'open', 'mkdir', 'fsync', 'unlink', 'rmdir'] as const) {
      const real = callbacks[name] as (...args: unknown[]) => void;
      mock.method(callbacks, name, (...args: unknown[]) => {
        try {
          die();
        } catch (error) {
          process.nextTick(args.at(-1) as (error: unknown) => void, error);
          return;
        }
        real(...args);
      });
    }
    return () => {
      mock.restoreAll();
    };
  };

  it('is ended by a second process if the first one dies', async () => {
    let died = true;
    for (let calls = 0; died; calls++) {
      const { fence } = await store.fencing.open('marks/');
      await store.put('some', content, { fence });
      await fs.writeFile(
        join(at('.tmp'), (await staging()).find((name) => name.startsWith('fence-')) ?? '', 'file'),
        '',
      );
      const dying = dieAfter(calls);
      died = await other.fencing.end().then(
        () => false,
        () => true,
      );
      dying();
      if (died) assert.equal(await other.fencing.end(), 0);
      await rejects(store.put('some', content, { fence }), FenceEnded);
      assert.equal((await staging()).length, 1);
    }
  });

  it('of a deletion can be ended as soon as its record is there, wherever its process dies', async () => {
    let died = true;
    for (let calls = 0; died; calls++) {
      const { key, bytes } = record();
      const dying = dieAfter(calls);
      died = await store.fencing.openDeletion({ key, bytes }).then(
        () => false,
        () => true,
      );
      dying();
      const isThere = (await keys('deleting/')).includes(key);
      const { length } = (await staging()).filter((name) => name.startsWith('deletion-'));
      if (isThere) {
        assert.equal(length, 1);
        await other.fencing.endDeletion({ key, lastModified: new Date() });
        await other.delete([key]);
      }
      for (const name of await staging()) await fs.rm(join(at('.tmp'), name), { recursive: true });
    }
  });

  for (const leftover of leftovers)
    it(`leaves each object whole or deleted at a power cut, with ${leftover}`, async () => {
      const names = ['a/b/c', 'a/b/d', 'e'];
      let happened = true;
      for (let calls = 0; happened; calls++) {
        const [live, spare, copy] = [
          await temporaryFolder('live'),
          await temporaryFolder('spare'),
          await temporaryFolder('copy'),
        ];
        try {
          const first = await FilesystemStore.open(live.path);
          for (const name of names) await first.put(name, content);
          const { key, bytes } = record();
          const cut = await PowerCut.after(calls, live.path, spare.path);
          const deleted = await deleteUnder(first, key, bytes, names);
          mock.restoreAll();
          happened = cut.happened;
          cut.leave(leftover, join(copy.path, 'root'));
          const second = await FilesystemStore.open(join(copy.path, 'root'));
          const there = (await second.list({})).objects.map((object) => object.key);
          for (const name of there.filter((one) => names.includes(one)))
            assert.deepEqual((await second.read(name, 100)).bytes, content);
          if (deleted) assert.deepEqual(there, [key]);
          if (!there.includes(key)) assert.deepEqual(there, names);
          await second.fencing.endDeletion({ key, lastModified: new Date() });
          await deleteUnder(second, `${key}-2`, bytes, names);
          assert.deepEqual(
            (await second.list({})).objects.filter((object) => names.includes(object.key)),
            [],
          );
        } finally {
          mock.restoreAll();
          for (const one of [live, spare, copy]) one.remove();
        }
      }
    });

  const deleteUnder = async (on: FilesystemStore, key: string, bytes: Buffer, names: readonly string[]) => {
    try {
      const fence = await on.fencing.openDeletion({ key, bytes });
      await on.delete(names, { fence });
      return true;
    } catch {
      return false;
    }
  };
});
