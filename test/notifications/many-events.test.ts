import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { it } from 'node:test';
import { command } from '../servers/process.ts';

/** Too little for that many events in memory. */
const heapMegabytes = 40;

it('more events than fit into memory wait for an endpoint, and are delivered in order', async () => {
  const script = resolve(import.meta.dirname, 'scale.ts');
  const { text } = await command(process.execPath, [
    `--max-old-space-size=${heapMegabytes}`,
    script,
    '10000',
  ]);
  assert.equal(text.trim().split('\n').length, 2);
});
