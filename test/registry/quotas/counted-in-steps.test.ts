import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { stepLook } from '../../../lib/maintenance/collection/look-steps.ts';
import { QuotaCount } from '../../../lib/maintenance/quotas/quota-count.ts';
import { quotasPrefix } from '../../../lib/registry/layout.ts';
import { listObjects } from '../../../lib/registry/list-objects.ts';
import { readSum } from '../../../lib/registry/quotas/sum.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { folderStorage, type TestStorage } from '../../servers/storage.ts';
import { nameOf, QuotaProcess, rulesOf, some, sum } from './quota-fixture.ts';

const rules = "quotas: [{ repositories: 'a/**', quota: 1 MB }, { repositories: '**', quota: 1 MB }]";
const ids = rulesOf(rules).all.map(({ id }) => id);

describe('quotas that are summed by a look in steps', () => {
  let storage: TestStorage;
  let store: ObjectStore;

  before(async () => {
    storage = await folderStorage();
    store = await storage.open();
    const process = new QuotaProcess(store, rules);
    const shared = some(3000);
    for (const name of ['a/one', 'a/two', 'b/one', 'b/two', 'b/three'].map(nameOf)) {
      await process.put(name, some(1000));
      await process.put(name, shared);
    }
  });

  after(() => {
    storage.remove();
  });

  const sums = async () => await Promise.all(ids.map(async (id) => (await readSum(store, id))?.bytes));
  const pushes = async () =>
    (await Array.fromAsync(listObjects(store, quotasPrefix))).filter(({ key }) => key.includes('/pushed/'));

  /** One process for each step, which ends at the third place where it can. @param rulesIn the rules in force at a step */
  async function countInSteps(run: string, rulesIn: (step: number) => string) {
    for (let step = 1; ; step++) {
      const count = await QuotaCount.begin(store, rulesOf(rulesIn(step)));
      let time = 0;
      const isComplete = await stepLook(store, {}, count, { run, budgetMs: 3, clock: () => time++ });
      if (isComplete) return { steps: step, isWritten: await count.writeSums() };
    }
  }

  it('are not written if other quotas came into force meanwhile', async () => {
    const others = rules.replace('a/**', 'c/**');
    const { steps, isWritten } = await countInSteps('changed', (step) => (step === 3 ? others : rules));
    assert.ok(steps > 4, `${steps} steps`);
    assert.equal(isWritten, false);
    assert.deepEqual(await sums(), [undefined, undefined]);
    assert.equal((await pushes()).length, 7);
  });

  it('are those of a look in one step, with a size that has changed meanwhile', async () => {
    const larger = rules.replaceAll('1 MB', '2 MB');
    const { steps, isWritten } = await countInSteps('whole', (step) => (step > 2 ? larger : rules));
    assert.ok(steps > 4, `${steps} steps`);
    assert.equal(isWritten, true);
    assert.deepEqual(await sums(), [2 * 1000 + 3000, 3 * 1000 + 3000]);
    // What was pushed just before is in them.
    assert.deepEqual(await pushes(), []);
    assert.deepEqual(await sum(store, rules), await sums());
  });
});
