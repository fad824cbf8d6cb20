import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConcurrencyLimit } from '../../lib/concurrency/concurrency-limit.ts';

describe('a concurrency limit', () => {
  const pending = () => Promise.withResolvers<undefined>();

  it('a concurrency limit runs no more tasks than it allows, and queued tasks in order', async () => {
    const limit = new ConcurrencyLimit(2);
    const begun: number[] = [];
    const ends = [0, 1, 2, 3].map(pending);
    const tasks = ends.map(async ({ promise }, i) => {
      await limit.run(async () => {
        begun.push(i);
        await promise;
      });
    });
    await new Promise(setImmediate);
    assert.deepEqual([begun, limit.isContended], [[0, 1], true]);
    ends[1]?.resolve(undefined);
    await tasks[1];
    await new Promise(setImmediate);
    assert.deepEqual(begun, [0, 1, 2]);
    for (const { resolve } of ends) resolve(undefined);
    await Promise.all(tasks);
    assert.deepEqual([begun, limit.isContended], [[0, 1, 2, 3], false]);
  });

  it('a concurrency limit refuses tasks if its queue is full, and tasks that time out in the queue', async () => {
    const limit = new ConcurrencyLimit(1, { queueLimit: 1, timeoutMs: 20 });
    const { promise, resolve } = pending();
    const first = limit.run(async () => {
      await promise;
    });
    const waits = assert.rejects(
      limit.run(async () => {
        await promise;
      }),
      { failure: 'BUSY' },
    );
    await assert.rejects(
      limit.run(async () => {
        await promise;
      }),
      { failure: 'BUSY' },
    );
    await waits;
    resolve(undefined);
    await first;
    assert.equal(await limit.run(async () => await Promise.resolve('later')), 'later');
  });

  it('a concurrency limit continues after a failed task', async () => {
    const limit = new ConcurrencyLimit(1);
    await assert.rejects(
      limit.run(async () => await Promise.reject(new Error('failed'))),
      /failed/,
    );
    assert.equal(await limit.run(async () => await Promise.resolve(1)), 1);
  });
});
