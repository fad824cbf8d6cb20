import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { FileLock, LockError } from '../../lib/search/file/lock.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { whileBusy } from './busy.ts';

describe('a file lock', () => {
  let folder: Folder;
  let path: string;
  let lock: FileLock;

  beforeEach(async () => {
    folder = await temporaryFolder('lock');
    path = join(folder.path, 'list.lock');
    lock = new FileLock(path, 60_000);
  });
  afterEach(() => {
    lock.close();
    folder.remove();
  });

  /** Does something while the lock is held, in this process. */
  async function whileHeld(act: () => Promise<unknown>): Promise<void> {
    await new FileLock(path).during(async () => {
      await act();
    });
  }

  /** A process that holds the lock until it is killed. */
  async function holder(): Promise<ChildProcess> {
    const module = pathToFileURL(join(import.meta.dirname, '../../lib/search/file/lock.ts')).href;
    const program = `
      const { FileLock } = await import(${JSON.stringify(module)});
      await new FileLock(${JSON.stringify(path)}).during(async () => {
        console.log('held');
        await new Promise((resolve) => setTimeout(resolve, 120_000));
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return child;
  }

  async function kill(child: ChildProcess): Promise<void> {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  const isHeld = (error: unknown) =>
    error instanceof LockError && error.message.includes(path) && error.message.includes('held by others');
  const impatient = () => new FileLock(path, 50);
  const nothing = () => Promise.resolve();

  it('a file lock returns the result of its task', async () => {
    assert.equal(await lock.during(() => Promise.resolve(1)), 1);
  });

  it('a file lock admits one task at a time', async () => {
    let inside = 0;
    let total = 0;
    const act = async () => {
      assert.equal(++inside, 1);
      await delay(1);
      inside--;
      total++;
    };
    const others = Array.from({ length: 5 }, () => new FileLock(path, 60_000));
    await Promise.all(
      [lock, lock, lock, ...others].map(async (one) => {
        await one.during(act);
      }),
    );
    assert.equal(total, 8);
  });

  it('a file lock excludes other processes', async () => {
    await whileHeld(async () => {
      await assert.rejects(impatient().during(nothing), isHeld);
    });
    await impatient().during(nothing);
  });

  it('a file lock is released if its task fails', async () => {
    await assert.rejects(
      lock.during(() => Promise.reject(new Error('of the act'))),
      /of the act/,
    );
    await impatient().during(nothing);
  });

  it('a file lock works between processes and is released at once when its holder is killed', async () => {
    const child = await holder();
    try {
      await assert.rejects(impatient().during(nothing), isHeld);
    } finally {
      await kill(child);
    }
    await new FileLock(path, 0).during(nothing);
  });

  it('waiting for a file lock does not block the event loop', async () => {
    const child = await holder();
    const waiting = lock.during(nothing);
    await delay(50);
    await kill(child);
    await waiting;
  });

  it('a file lock leaves no other file behind, even if its holder is killed', async () => {
    await kill(await holder());
    await lock.during(async () => {
      assert.deepEqual(await fs.readdir(folder.path), ['list.lock']);
    });
    assert.equal((await fs.stat(path)).size, 0);
  });

  it('a file lock is created again if its file is deleted', async () => {
    await lock.during(nothing);
    await fs.rm(path);
    await lock.during(nothing);
    assert.deepEqual(await fs.readdir(folder.path), ['list.lock']);
  });

  it('a file lock is acquired in time under constant contention', async () => {
    await whileBusy(['lock', path], async () => {
      let done = false;
      const loops = [lock, lock, new FileLock(path)].map(async (one) => {
        while (!done)
          await one.during(async () => {
            await turn();
          });
      });
      try {
        for (let i = 0; i < 5; i++) {
          await new FileLock(path, 3000).during(nothing);
          await delay(20);
        }
      } finally {
        done = true;
        await Promise.all(loops);
      }
    });
  });

  it('a file lock queues a thousand tasks and refuses more at once', async () => {
    let done = 0;
    let outcomes: Promise<unknown> = Promise.resolve();
    await whileHeld(async () => {
      // One tries, and the others wait for it.
      const waiting = Array.from({ length: 1_001 }, async () => {
        await lock.during(async () => {
          await nothing();
          done++;
        });
      });
      await assert.rejects(
        lock.during(nothing),
        /1000 callers of this process wait for it; .* npm run reindex/,
      );
      await assert.rejects(lock.during(nothing), LockError);
      outcomes = Promise.all(waiting);
    });
    await outcomes;
    // None of those that were let wait was lost.
    assert.equal(done, 1_001);
  });

  const isUnusable = (what: RegExp) => (error: unknown) =>
    error instanceof LockError && error.message.includes(path) && what.test(error.message);

  it('a file lock reports that its file cannot be used, and what to do', async () => {
    const unusable = isUnusable(
      /cannot be used; give the registry's user access .* delete it while no registry runs/,
    );
    for (const content of ['x\n', 'no database\n'.repeat(100)]) {
      await fs.writeFile(path, content);
      await assert.rejects(lock.during(nothing), unusable);
    }
    await fs.rm(path);
    await fs.mkdir(path);
    await assert.rejects(lock.during(nothing), unusable);
    await fs.rm(folder.path, { recursive: true });
    await assert.rejects(lock.during(nothing), unusable);
  });

  it('a file lock fails without advice for a user who may only read its file', async () => {
    await fs.writeFile(path, '');
    await fs.chmod(path, 0o444);
    await fs.chmod(folder.path, 0o755);
    await asOrdinaryUser(async () => {
      await assert.rejects(lock.during(nothing), isUnusable(/cannot be used; give the registry's user/));
    });
  });

  /** Root may do anything. */
  async function asOrdinaryUser(act: () => Promise<void>): Promise<void> {
    const root = process.getuid?.() === 0;
    if (root) process.seteuid?.(65534);
    try {
      await act();
    } finally {
      if (root) process.seteuid?.(0);
    }
  }

  it('closing a file lock waits for its task and starts no more', async () => {
    await lock.during(async () => {
      lock.close();
      await assert.rejects(impatient().during(nothing), isHeld);
    });
    await assert.rejects(lock.during(nothing), /is closed because/);
  });
});
