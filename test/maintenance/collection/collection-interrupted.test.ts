import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inParallel } from '../../../lib/concurrency/in-parallel.ts';
import { removeAbandoned } from '../../../lib/maintenance/collection/marks.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { collectAll, contentOf, onCollectedStores, pause, unitMs } from './collecting.ts';
import { about, FilledBucket } from './filled-bucket.ts';
import { Killed, killedAt, lacking } from './interrupted-collection.ts';

const dayMs = 24 * 3_600_000;

/** Collections at a time. They mostly wait. */
const parallelRuns = 24;

/** A repository of which all goes, and one of which an index with its images goes, and one image stays. */
async function fill(store: ObjectStore): Promise<void> {
  const bucket = new FilledBucket(store);
  const base = await bucket.layer('app', 'base');
  const kept = await bucket.image('app', 'kept', [base]);
  const one = await bucket.image('app', 'one', [base, await bucket.layer('app', 'one-layer')]);
  const two = await bucket.image('app', 'two', [await bucket.layer('app', 'two-layer')]);
  const index = await bucket.index('app', 'index', [one, two]);
  const nested = await bucket.index('app', 'nested', [index]);
  const signature = await bucket.image('app', 'signature', [], about(nested));
  await bucket.referrer('app', nested, signature);
  await bucket.tag('app', 'v1', kept, nested);
  await bucket.tag('app', `sha256-${nested.hex}.sig`, await bucket.image('app', 'cosign', []));
  await bucket.layer('old', 'old-layer');
  await bucket.put('repositories/old/_referrers/scanned', '{}');
  await bucket.bytes(bucket.some('unlinked'));
}

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
    await fill(whole);
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
      await fill(store);
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
    for (const store of stores) await fill(store);
    await pause(unitMs);
    const [alone, both] = stores;
    await collectAll(alone);
    await Promise.all([collectAll(both), collectAll(both), collectAll(both)]);
    await collectAll(both);
    assert.deepEqual(await contentOf(both), await contentOf(alone));
  });
});
