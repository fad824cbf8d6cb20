import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertNotExpired, Deadline, deadlineSignal, withoutDeadline } from '../../lib/storage/deadline.ts';

const isOver = (): boolean => deadlineSignal()?.aborted === true;

describe('a deadline', () => {
  it('is over when its time is, without a timer, and holds for all that the work calls', async (t) => {
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

  it('is over by the clock on the wall, which goes on where the other stands still', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
    await new Deadline(26_000).run(async () => {
      t.mock.timers.setTime(1_025_999);
      assert.equal(isOver(), false);
      t.mock.timers.setTime(1_026_000);
      assert.equal(isOver(), true);
      await Promise.resolve();
    });
  });

  it('is over as soon as the work has ended or failed, so that what is left of it is as well', async () => {
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

  it('ends with the one around it, and not the other way round', async () => {
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

  it('does not hold for what others wait for as well, nor outside', async () => {
    assert.equal(deadlineSignal(), undefined);
    await new Deadline(0).run(async () => {
      assert.equal(await withoutDeadline(async () => await Promise.resolve(isOver())), false);
      assert.equal(isOver(), true);
    });
  });
});
