import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';

import { ReadWriteLock, type LockMode } from '../../lib/search/read-write-lock.ts';

describe('a lock within the process', () => {
  let lock: ReadWriteLock;
  /** Who has had the lock, in order. */
  let had: string[];

  beforeEach(() => {
    lock = new ReadWriteLock();
    had = [];
  });

  const inTime = () => performance.now() + 60_000;

  async function use(mode: LockMode, name: string, deadline = inTime()): Promise<void> {
    if (await lock.acquire(mode, deadline)) had.push(name);
    else had.push(`not ${name}`);
  }

  /** What has been had once all has happened that can. */
  async function now(): Promise<string> {
    await turn();
    return had.join(' ');
  }

  it('is shared by those who want it shared', async () => {
    await use('shared', 'a');
    await use('shared', 'b');
    assert.equal(lock.holders, 2);
  });

  it('lets in by turns who came first, so that neither kind waits for ever', async () => {
    await use('shared', 'a');
    void use('exclusive', 'B');
    void use('shared', 'c');
    void use('shared', 'd');
    void use('exclusive', 'E');
    void use('exclusive', 'F');
    void use('shared', 'g');
    const steps = ['a', 'a B', 'a B c d', 'a B c d', 'a B c d E', 'a B c d E F', 'a B c d E F g'];
    for (const step of steps) {
      assert.equal(await now(), step);
      lock.release();
    }
    assert.equal(lock.holders, 0);
  });

  it('is not for who has waited too long, nor in the way of others for them', async () => {
    await use('shared', 'a');
    const waiting = use('exclusive', 'B', performance.now() + 20);
    void use('shared', 'c');
    await waiting;
    assert.equal(await now(), 'a c not B');
    lock.release();
    lock.release();
    await use('exclusive', 'D');
    assert.equal(await now(), 'a c not B D');
  });

  it('is there for one who asks too late, if it is free', async () => {
    await use('exclusive', 'A', performance.now() - 1);
    void use('shared', 'b', performance.now() - 1);
    await delay(20);
    assert.equal(await now(), 'A not b');
  });
});
