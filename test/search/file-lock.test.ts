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

describe('a lock of a file', () => {
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
  async function whileHeld(kind: 'shared' | 'exclusive', act: () => Promise<unknown>): Promise<void> {
    await new FileLock(path)[kind](async () => {
      await act();
    });
  }

  /** A process that holds the lock until it is killed. */
  async function holder(kind: 'shared' | 'exclusive'): Promise<ChildProcess> {
    const module = pathToFileURL(join(import.meta.dirname, '../../lib/search/file-lock.ts')).href;
    const program = `
      const { FileLock } = await import(${JSON.stringify(module)});
      await new FileLock(${JSON.stringify(path)}).${kind}(async () => {
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

  it('gives what is done under it', async () => {
    assert.equal(await lock.shared(() => Promise.resolve(1)), 1);
    assert.equal(await lock.exclusive(() => Promise.resolve(2)), 2);
  });

  it('lets one in at a time that wants it alone', async () => {
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
        await one.exclusive(act);
      }),
    );
    assert.equal(total, 8);
  });

  it('is shared by those who want it shared', async () => {
    const { promise: allInside, resolve: enter } = Promise.withResolvers<undefined>();
    let inside = 0;
    const act = async () => {
      if (++inside === 3) enter(undefined);
      await allInside;
    };
    await Promise.all([lock.shared(act), lock.shared(act), new FileLock(path).shared(act)]);
    assert.equal(inside, 3);
  });

  it('keeps out for whom it is not', async () => {
    await whileHeld('exclusive', async () => {
      await assert.rejects(impatient().shared(nothing), isHeld);
      await assert.rejects(impatient().exclusive(nothing), isHeld);
    });
    await whileHeld('shared', async () => {
      await assert.rejects(impatient().exclusive(nothing), isHeld);
      await impatient().shared(nothing);
    });
    await impatient().exclusive(nothing);
  });

  it('is let go when what is done under it fails', async () => {
    for (const kind of ['shared', 'exclusive'] as const) {
      await assert.rejects(
        lock[kind](() => Promise.reject(new Error('of the act'))),
        /of the act/,
      );
    }
    await impatient().exclusive(nothing);
  });

  it('stays held when another use in the process ends', async () => {
    await whileHeld('shared', async () => {
      await lock.shared(nothing);
      lock.make();
      await assert.rejects(impatient().exclusive(nothing), isHeld);
    });
  });

  it('holds between processes, and is free at once when its holder is killed', async () => {
    for (const kind of ['shared', 'exclusive'] as const) {
      const child = await holder(kind);
      try {
        await assert.rejects(impatient().exclusive(nothing), isHeld);
        if (kind === 'exclusive') await assert.rejects(impatient().shared(nothing), isHeld);
        else await impatient().shared(nothing);
      } finally {
        await kill(child);
      }
      await new FileLock(path, 0).exclusive(nothing);
    }
  });

  it('is waited for with the event loop free', async () => {
    const child = await holder('exclusive');
    const waiting = lock.exclusive(nothing);
    await delay(50);
    await kill(child);
    await waiting;
  });

  it('leaves no other file behind, also when its holder is killed', async () => {
    await kill(await holder('exclusive'));
    await lock.exclusive(async () => {
      assert.deepEqual(await fs.readdir(folder.path), ['list.lock']);
    });
    assert.equal((await fs.stat(path)).size, 0);
  });

  it('is made anew when its file is gone', async () => {
    await lock.exclusive(nothing);
    await fs.rm(path);
    await lock.exclusive(nothing);
    assert.deepEqual(await fs.readdir(folder.path), ['list.lock']);
  });

  it('is had alone in time though processes, and loops of this one, share it without a pause', async () => {
    await whileBusy(['lock', path], async () => {
      let done = false;
      const loops = [lock, lock, new FileLock(path)].map(async (one) => {
        while (!done)
          await one.shared(async () => {
            await turn();
          });
      });
      try {
        for (let i = 0; i < 5; i++) {
          await new FileLock(path, 3000).exclusive(nothing);
          await delay(20);
        }
      } finally {
        done = true;
        await Promise.all(loops);
      }
    });
  });

  it('leaves the event loop free, and is shared, while one waits in vain to have it alone', async () => {
    const child = await holder('shared');
    try {
      const before = performance.eventLoopUtilization();
      const waiting = Promise.allSettled(
        Array.from({ length: 10 }, async () => {
          await new FileLock(path, 1000).exclusive(nothing);
        }),
      );
      await new FileLock(path, 900).shared(nothing);
      const outcomes = await waiting;
      assert.ok(outcomes.every(({ status }) => status === 'rejected'));
      // Tries block it for a quarter of the time; without a queue of those who try, for all of it.
      const { utilization } = performance.eventLoopUtilization(before);
      assert.ok(utilization < 0.8, `${utilization}`);
    } finally {
      await kill(child);
    }
  });

  it('lets a thousand wait for it, and refuses more at once', async () => {
    let done = 0;
    let outcomes: Promise<unknown> = Promise.resolve();
    await whileHeld('exclusive', async () => {
      const waiting = Array.from({ length: 1_000 }, async () => {
        await lock.exclusive(async () => {
          await nothing();
          done++;
        });
      });
      await assert.rejects(lock.exclusive(nothing), /is waited for by 1000 others .* npm run reindex/);
      await assert.rejects(lock.exclusive(nothing), LockError);
      outcomes = Promise.all(waiting);
    });
    await outcomes;
    // None of those that were let wait was lost.
    assert.equal(done, 1_000);
  });

  const isUnusable = (what: RegExp) => (error: unknown) =>
    error instanceof LockError && error.message.includes(path) && what.test(error.message);

  it('says what is wrong with its file, and what to do', async () => {
    const both = async (what: RegExp) => {
      await assert.rejects(lock.shared(nothing), isUnusable(what));
      await assert.rejects(lock.exclusive(nothing), isUnusable(what));
    };
    for (const content of ['x\n', 'no database\n'.repeat(100)]) {
      await fs.writeFile(path, content);
      await both(/is no lock: .* delete it while no registry runs/);
    }
    await fs.rm(path);
    await fs.mkdir(path);
    await both(/cannot be opened .* give the registry's user the right/);
    await fs.rm(folder.path, { recursive: true });
    await both(/cannot be opened .* give the registry's user the right/);
  });

  it('is not had alone, with nothing said, by one who may only read its file', async () => {
    await fs.writeFile(path, '');
    await fs.chmod(path, 0o444);
    await fs.chmod(folder.path, 0o755);
    await asOrdinaryUser(async () => {
      await lock.shared(nothing);
      await assert.rejects(
        lock.exclusive(nothing),
        isUnusable(/cannot be opened .* give the registry's user/),
      );
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

  it('ends what is under way before it is closed, and begins nothing more', async () => {
    await lock.exclusive(async () => {
      lock.close();
      await assert.rejects(impatient().shared(nothing), isHeld);
    });
    await assert.rejects(lock.shared(nothing), /was closed/);
  });
});
