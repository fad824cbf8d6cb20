import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConcurrencyLimit } from '../../lib/concurrency/concurrency-limit.ts';
import { runInPlace, withoutPlace } from '../../lib/concurrency/held-place.ts';

describe('a task that waits without its place', () => {
  it('lets others have it, and takes one again', async () => {
    const limit = new ConcurrencyLimit(1);
    const gate = Promise.withResolvers<undefined>();
    const order: string[] = [];
    const first = runInPlace(limit, async () => {
      await withoutPlace(async () => {
        await gate.promise;
        // What is waited for may itself wait.
        await withoutPlace(async () => {
          await Promise.resolve();
        });
        order.push('has waited');
      });
      order.push('is back');
    });
    await runInPlace(limit, async () => {
      gate.resolve(undefined);
      await new Promise(setImmediate);
      assert.equal(limit.waiting, 1);
      order.push('another is done');
    });
    await first;
    assert.deepEqual(order, ['has waited', 'another is done', 'is back']);
    assert.equal(limit.inUse, 0);
  });

  it('has none any more if the wait or the way back fails', async () => {
    const limit = new ConcurrencyLimit(1, { queueLimit: 0, busy: () => new Error('busy') });
    const failing = runInPlace(limit, async () => {
      await withoutPlace(async () => await Promise.reject(new Error('in vain')));
    });
    await assert.rejects(failing, /in vain/);
    assert.equal(limit.inUse, 0);
    const late = runInPlace(limit, async () => {
      await withoutPlace(async () => {
        await limit.acquire();
      });
    });
    await assert.rejects(late, /busy/);
    assert.equal(limit.inUse, 1);
  });

  it('outside of any limit just waits', async () => {
    assert.equal(await withoutPlace(async () => await Promise.resolve(1)), 1);
  });
});
