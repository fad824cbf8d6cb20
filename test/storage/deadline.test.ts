import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertNotExpired, Deadline, deadlineSignal, withoutDeadline } from '../../lib/storage/deadline.ts';

const isOver = (): boolean => deadlineSignal()?.aborted === true;

describe('a deadline', () => {
  it('a deadline expires without a timer and covers all nested calls', async (t) => {
    let now = 500;
    t.mock.method(performance, 'now', () => now);
    const deadline = new Deadline(60_000);
    await deadline.run(async () => {
      await Promise.resolve();
      now = 60_499;
      assert.equal(isOver(), false);
      now = 60_500;
      assert.equal(isOver(), true);
      assert.throws(assertNotExpired, /was answered/);
    });
  });

  it('a deadline uses the wall clock, which advances while a process is frozen', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
    await new Deadline(26_000).run(async () => {
      t.mock.timers.setTime(1_025_999);
      assert.equal(isOver(), false);
      t.mock.timers.setTime(1_026_000);
      assert.equal(isOver(), true);
      await Promise.resolve();
    });
  });

  it('a deadline expires when its work ends or fails, and with it the rest of the work', async () => {
    for (const failure of [undefined, new Error('one of two failed')]) {
      let left: Promise<boolean> | undefined;
      const deadline = new Deadline(60_000);
      const work = deadline.run(async () => {
        left = new Promise((resolve) => setTimeout(() => resolve(isOver()), 5));
        await Promise.resolve();
        if (failure !== undefined) throw failure;
      });
      await (failure === undefined ? work : assert.rejects(work, failure));
      assert.equal(await left, true);
    }
  });

  it('a deadline expires with its outer one, but not the reverse', async () => {
    const outer = new Deadline(60_000);
    await outer.run(async () => {
      await new Deadline(0).run(async () => {
        assert.equal(isOver(), true);
        await Promise.resolve();
      });
      assert.equal(isOver(), false);
      await new Deadline(60_000).run(async () => {
        const signal = deadlineSignal();
        outer.end();
        assert.equal(signal?.aborted, true);
        await Promise.resolve();
      });
    });
  });

  it('a deadline does not cover shared work, nor work outside', async () => {
    assert.equal(deadlineSignal(), undefined);
    await new Deadline(0).run(async () => {
      assert.equal(await withoutDeadline(async () => await Promise.resolve(isOver())), false);
      assert.equal(isOver(), true);
    });
  });
});
