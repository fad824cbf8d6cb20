import assert from 'node:assert/strict';
import { it } from 'node:test';
import { folderStorage } from '../servers/storage.ts';
import { round } from './round.ts';

it('16 clients get right responses to 10,000 operations on three instances of one folder', async () => {
  const storage = await folderStorage();
  const { steps } = await round({ storage, seed: 1, steps: 10_000 });
  assert.deepEqual(steps, { answered: 10_000, failed: 0, flickered: 0 });
  storage.remove();
});
