import assert from 'node:assert/strict';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runNode } from '../../infra/run-node.ts';

const program = fileURLToPath(new URL('large-repository.ts', import.meta.url));

it('to delete and restore 60,000 links takes no more heap than 6,000, and as many requests as documented', async () => {
  const flags = ['--max-old-space-size=20', '--max-semi-space-size=2'];
  const { code, output, errors } = await runNode([...flags, program, '60000'], {});
  assert.equal(code, 0, errors);
  const [deleted, restored] = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<'layers' | 'list' | 'get' | 'put' | 'delete', number>);
  assert.ok(deleted !== undefined && restored !== undefined);
  assert.deepEqual([deleted.layers, restored.layers], [60_000, 60_000]);
  // What does not depend on the size of the repository.
  const few = 15;
  const sum = ({ list, get, put, delete: deletes }: typeof deleted) => list + get + put + deletes;
  assert.ok(sum(deleted) <= 6 * 60 + few, `${sum(deleted)} requests`);
  assert.ok(sum(restored) <= 2 * 60_000 + 2 * 300 + 60 + few, `${sum(restored)} requests`);
});
