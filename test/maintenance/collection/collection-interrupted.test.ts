import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inParallel } from '../../../lib/concurrency/in-parallel.ts';
import { removeAbandoned } from '../../../lib/maintenance/collection/marks.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { collectAll, contentOf, onCollectedStores, pause, unitMs } from './collecting.ts';
import { fillSome, Killed, killedAt, lacking } from './interrupted-collection.ts';

const dayMs = 24 * 3_600_000;

/** Collections at a time. They mostly wait. */
const parallelRuns = 24;

/** Runs of one process until all is done, or it is killed. */
async function collectUntilKilled(store: ObjectStore): Promise<void> {
  try {
    await collectAll(store);
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  }
}

onCollectedStores('a collection that is killed', (open, kind) => {
  it('at any call is completed by the next one, and no manifest lacks what it needs meanwhile', async () => {
    const whole = await open();
    await fillSome(whole);
    await pause(unitMs);
    const counted = killedAt(whole, Infinity);
    await collectUntilKilled(counted.store);
    const expected = await contentOf(whole);
    assert.deepEqual(await lacking(whole), []);
    // Each call takes a folder or bucket of its own. MinIO is slow, so there it is only some of them.
    const every = kind === 'MinIO' ? 7 : 1;
    const killed = Array.from({ length: Math.ceil(counted.calls() / every) }, (_, i) => i * every);
    await inParallel(killed, parallelRuns, async (at) => {
      const store = await open();
      await fillSome(store);
      await pause(unitMs);
      await collectUntilKilled(killedAt(store, at).store);
      assert.deepEqual(await lacking(store), [], `killed at call ${at}`);
      await collectAll(store);
      assert.deepEqual(await lacking(store), [], `after the run that was killed at call ${at}`);
      // Lists that have no mark are removed after a week.
      await removeAbandoned(store, [], new Date(Date.now() + 8 * dayMs));
      assert.deepEqual(await contentOf(store), expected, `after the run that was killed at call ${at}`);
    });
  });

  it('harms nothing while another one goes on', async () => {
    const stores = [await open(), await open()] as const;
    for (const store of stores) await fillSome(store);
    await pause(unitMs);
    const [alone, both] = stores;
    await collectAll(alone);
    await Promise.all([collectAll(both), collectAll(both), collectAll(both)]);
    await collectAll(both);
    assert.deepEqual(await contentOf(both), await contentOf(alone));
  });
});
