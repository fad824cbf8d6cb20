import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { QuotaExceeded } from '../../../lib/registry/quotas/quota.ts';
import { MemoryStore } from '../memory-store.ts';
import { nameOf, QuotaProcess, some, sum } from './quota-fixture.ts';

const layer = 1000;
const quota = 50_500;
const rules = `quotas: [{ repositories: 'team/**', quota: ${quota} B }]`;

/** Pushes layers until one is refused. */
async function pushUntilRefused(process: QuotaProcess, pusher: number): Promise<void> {
  for (;;)
    try {
      await process.upload(nameOf(`team/app${pusher % 3}`), some(layer));
    } catch (error) {
      if (error instanceof QuotaExceeded) return;
      throw error;
    }
}

describe('a quota that is reached by many at once', () => {
  it('is exceeded by one layer for each concurrent upload at most', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    const process = new QuotaProcess(store, rules);
    const pushers = 20;
    await Promise.all(
      Array.from({ length: pushers }, async (_, i) => {
        await pushUntilRefused(process, i);
      }),
    );
    const [used = 0] = await sum(store, rules);
    assert.ok(used >= quota && used < quota + pushers * layer, `${used}`);
  });

  it('is exceeded beyond that by what other processes push within 30 s', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    const processes = [1, 2, 3].map(() => new QuotaProcess(store, rules));
    const pushers = 4;
    // Each has read that nothing is used, and reads nothing else while its time stands still.
    for (const process of processes) await process.used(nameOf('team/app'));
    for (const process of processes)
      await Promise.all(
        Array.from({ length: pushers }, async (_, i) => {
          await pushUntilRefused(process, i);
        }),
      );
    const [used = 0] = await sum(store, rules);
    assert.ok(used >= quota && used < processes.length * (quota + pushers * layer), `${used}`);
    for (const process of processes) process.nowMs += 30_000;
    for (const process of processes) await pushUntilRefused(process, 0);
    assert.deepEqual(await sum(store, rules), [used]);
  });
});
