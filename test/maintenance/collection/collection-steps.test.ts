import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Collection } from '../../../lib/maintenance/collection/collection.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { collectAll, contentOf, onCollectedStores, pause, unitMs } from './collecting.ts';
import { fill } from './filled-bucket.ts';

/** One process for each step, whose looks end at each seventh place where they can. @returns how many steps there were */
async function collectInSteps(store: ObjectStore): Promise<number> {
  const { fencing } = store;
  assert.ok(fencing);
  for (let steps = 1; ; steps++) {
    const one = new Collection(store, fencing, {
      delayMs: 0,
      youngMs: 0,
      untagged: () => 0,
      stepBudget: () => {
        let time = 0;
        return { budgetMs: 7, clock: () => time++ };
      },
    });
    const isMore = await one.step();
    const [waiting] = one.report.waiting;
    if (!isMore && waiting === undefined) return steps;
    if (waiting !== undefined) await pause(Math.max(0, waiting.from.getTime() - Date.now()) + 1000);
  }
}

onCollectedStores('a collection in steps of many processes', (open) => {
  it('deletes the same as one process, and keeps only when it looked', async () => {
    const [atOnce, inSteps] = [await open(), await open()];
    await fill(atOnce);
    await fill(inSteps);
    await pause(unitMs);
    await collectAll(atOnce);
    const steps = await collectInSteps(inSteps);
    assert.ok(steps > 20, `${steps} steps`);
    const looked = 'docker/registry/v2/gc/looked';
    assert.deepEqual(await contentOf(inSteps), [...(await contentOf(atOnce)), looked].sort());
    // It looks once a day: until then, nothing is due.
    assert.equal(await collectInSteps(inSteps), 1);
  });
});
