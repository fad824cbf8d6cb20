import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createRegistry } from '../../lib/registry/registry.ts';
import { recordPlanned } from '../../lib/retention/planned.ts';
import { stepRetention } from '../../lib/retention/steps.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { freshName, pushImage, tagsOf } from '../registry/undo/images.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { day, retentionRules } from './rules.ts';

describe('retention in steps', () => {
  let storage: TestStorage;
  let store: ObjectStore;

  before(async () => {
    storage = await folderStorage();
    store = await storage.open();
  });

  after(() => {
    storage.remove();
  });

  it('goes on after the last repository that is done, and then rests for a day', async () => {
    const names = [freshName(), freshName(), freshName()].sort();
    for (const name of names) await pushImage(store, name, 'v1');
    const rules = retentionRules("{ repositories: '**', keep: { pushedWithin: 1d }, otherwise: delete }");
    await recordPlanned(store, rules);
    const step = async (repositories: number) => {
      let left = repositories;
      return await stepRetention({
        store,
        registry: createRegistry(store),
        rules,
        immutable: () => undefined,
        keeps: true,
        now: () => Date.now() + 2 * day,
        isOver: () => left-- === 0,
      });
    };
    const left = async () => (await Promise.all(names.map(async (name) => await tagsOf(store, name)))).flat();
    // One that is over at once has done nothing.
    assert.equal((await step(0))?.removed, 0);
    const first = await step(1);
    assert.deepEqual([first?.removed, first?.stoppedAfter], [1, names[0]]);
    // What comes before that is not looked at again.
    await pushImage(store, names[0] ?? freshName(), 'v2');
    const rest = await step(10);
    assert.deepEqual([rest?.removed, rest?.stoppedAfter], [2, undefined]);
    assert.deepEqual(await left(), ['v2']);
    assert.equal(await step(10), undefined);
    assert.deepEqual(await left(), ['v2']);
  });
});
