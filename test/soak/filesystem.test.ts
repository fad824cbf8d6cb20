import assert from 'node:assert/strict';
import { it } from 'node:test';
import { folderStorage } from '../servers/storage.ts';
import { round } from './round.ts';

it('16 clients do 10,000 things on three instances of one folder, and each answer is right', async () => {
  const storage = await folderStorage();
  const { steps } = await round({ storage, seed: 1, steps: 10_000 });
  assert.deepEqual(steps, { answered: 10_000, failed: 0, flickered: 0 });
  storage.remove();
});
