import assert from 'node:assert/strict';
import { it } from 'node:test';
import { promoteBeside } from './beside-collection.ts';

// All of its calls are in test/long.
it('a promotion beside a collection that takes its source is whole, or refused', async () => {
  const outcomes = await Promise.all([0, 10, 20, 30, 40, 50, 60, 70, 80, 90].map(promoteBeside));
  assert.deepEqual(new Set(outcomes.map(({ isPromoted }) => isPromoted)), new Set([true, false]));
});
