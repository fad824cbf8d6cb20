import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { it } from 'node:test';
import { readMetrics, sumOf } from './text-format.ts';

it('metrics of several workers are sums at the primary process', async () => {
  const primary = fork(join(import.meta.dirname, 'primary.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [text] = (await once(primary, 'message')) as [string];
  await once(primary, 'exit');
  const lines = readMetrics(text);
  assert.equal(sumOf(lines, 'registry_storage_cache_requests_total'), 1 + 2);
  assert.equal(sumOf(lines, 'registry_storage_action_seconds_count', { action: 'Stat' }), 1 + 2);
});
