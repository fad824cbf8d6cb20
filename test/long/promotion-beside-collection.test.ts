import assert from 'node:assert/strict';
import { it } from 'node:test';
import { promoteBeside } from '../copy/beside-collection.ts';

it('a promotion at any call of a collection that takes its source is whole, or refused', async () => {
  let promoted = 0;
  for (let at = 0, more = true; more; at += 20) {
    const batch = await Promise.all(Array.from({ length: 20 }, async (_, i) => await promoteBeside(at + i)));
    promoted += batch.filter(({ isPromoted }) => isPromoted).length;
    more = batch.every(({ happened }) => happened);
  }
  assert.ok(promoted > 20, `${promoted} promotions`);
});
