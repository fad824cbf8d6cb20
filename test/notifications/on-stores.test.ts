import assert from 'node:assert/strict';
import { it } from 'node:test';
import { eventsPrefix, endpointState } from '../../lib/registry/layout.ts';
import { listObjects } from '../../lib/registry/list-objects.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { onStores } from '../registry/on-stores.ts';
import { announce, deliverer, failed, localEndpoint, longMs, taken, until } from './delivering.ts';

/** Keys of events that are left. */
async function left(store: ObjectStore): Promise<readonly string[]> {
  const keys = await Array.fromAsync(listObjects(store, eventsPrefix), ({ key }) => key);
  // It does nothing without events.
  return keys.filter((key) => key !== endpointState('builds'));
}

async function announceAll(store: ObjectStore, count: number): Promise<readonly string[]> {
  const names = Array.from({ length: count }, (_, i) => `v${String(i).padStart(2, '0')}`);
  for (const name of names) await announce(store, name);
  return names;
}

onStores('a delivery', (store) => {
  it('tells of each event in order, after its endpoint was down, and leaves nothing', async () => {
    const [builds, audit] = [localEndpoint('builds'), localEndpoint('audit')];
    builds.answer(() => failed);
    const names = await announceAll(store(), 12);
    const one = deliverer(store(), [builds, audit], { timing: { maxAgeMs: Infinity } });
    await one.drain(longMs);
    assert.deepEqual([builds.taken, audit.tags()], [[], names]);
    builds.answer(() => taken);
    while (builds.taken.length < names.length) await one.drain(longMs);
    assert.deepEqual([builds.tags(), await left(store())], [names, []]);
  });

  it('by two processes loses no event, also when one takes over from the other', async () => {
    const builds = localEndpoint('builds');
    const both = [0, 1].map(() => {
      const stop = new AbortController();
      const one = deliverer(store(), [builds], {
        timing: { idleMs: longMs, lookMs: 500, otherMs: 100, pollMs: 100 },
      });
      return { one, stop, running: one.run(stop.signal) };
    });
    const names: string[] = [];
    for (let i = 0; i < 12; i++) {
      if (i === 6) both[0]?.stop.abort();
      names.push(`w${String(i).padStart(2, '0')}`);
      await announce(store(), names.at(-1) ?? '');
      for (const { one } of both) one.wake();
    }
    await until(() => names.every((name) => builds.tags().includes(name)));
    for (const { stop, running } of both) {
      stop.abort();
      await running;
    }
    const { honoursIfMatch, honoursOnlyIfAbsent } = store().limits;
    // Elsewhere two may have the lease for a moment, and deliver some events twice.
    const all =
      honoursIfMatch && honoursOnlyIfAbsent ? builds.tags() : [...new Set(builds.tags())].toSorted();
    assert.deepEqual([all, await left(store())], [names, []]);
  });
});
