import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapConcurrently } from '../../lib/concurrency/map-concurrently.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('work on a stream of items', () => {
  it('is done for each item, with at most so many at a time, and asks for no more items than that', async () => {
    let [running, most, asked] = [0, 0, 0];
    function* items() {
      for (const number of numbers(20)) {
        asked += 1;
        assert.ok(running < 3);
        yield number;
      }
    }
    const results = await Array.fromAsync(
      mapConcurrently(items(), 3, async (number) => {
        most = Math.max(most, ++running);
        await new Promise(setImmediate);
        running -= 1;
        return 2 * number;
      }),
    );
    assert.deepEqual(
      results.sort((a, b) => a - b),
      numbers(20).map((number) => 2 * number),
    );
    assert.deepEqual([most, asked], [3, 20]);
  });

  it('yields what is done first, whatever came first', async () => {
    const first = Promise.withResolvers<string>();
    const results = mapConcurrently(['slow', 'fast'], 2, async (name) =>
      name === 'slow' ? await first.promise : await Promise.resolve(name),
    );
    assert.equal((await results.next()).value, 'fast');
    first.resolve('slow');
    assert.equal((await results.next()).value, 'slow');
  });

  it('ends with the first failure, once nothing is running any more', async () => {
    let running = 0;
    const work = async (number: number) => {
      running += 1;
      await new Promise(setImmediate);
      if (number > 0) await new Promise(setImmediate);
      running -= 1;
      throw new Error(`number ${number}`);
    };
    await assert.rejects(Array.fromAsync(mapConcurrently(numbers(3), 3, work)), { message: 'number 0' });
    assert.equal(running, 0);
  });
});
