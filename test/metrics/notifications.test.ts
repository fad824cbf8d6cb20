import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Metrics } from '../../lib/metrics/prometheus.ts';
import { reportTo } from '../../lib/telemetry.ts';
import { announce, deliverer, localEndpoint, longMs, refused, taken } from '../notifications/delivering.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { readMetrics, sumOf } from './text-format.ts';

it('metrics count what becomes of events for each endpoint', async () => {
  const metrics = new Metrics('filesystem');
  const store = new MemoryStore({ conditionalWrites: true });
  const builds = localEndpoint('builds', { threshold: 1 });
  builds.answer(({ tag }) =>
    tag === 'a' ? refused : tag === 'b' ? { outcome: 'failed', reason: 'no connection' } : taken,
  );
  const read = async (name: string, labels: Record<string, string>) => {
    const lines = readMetrics(await metrics.text());
    return sumOf(lines, name, { endpoint: 'builds', ...labels });
  };
  assert.ok(!(await metrics.text()).includes('notifications'), 'nothing without endpoints');

  const one = deliverer(store, [builds], { report: reportTo([metrics.telemetry]).notified });
  const types = ['Events', 'Successes', 'Failures', 'Errors'];
  const counts = async () =>
    await Promise.all(types.map(async (type) => await read('registry_notifications_events_total', { type })));
  assert.deepEqual(await counts(), [0, 0, 0, 0]);

  await announce(store, 'c');
  await announce(store, 'b');
  await one.drain(longMs);
  assert.deepEqual((await counts()).slice(0, 3), [2, 1, 0]);
  const [, , , errors = 0] = await counts();
  assert.ok(errors > 0);
  assert.equal(await read('registry_notifications_pending_total', {}), 1);
  assert.equal(await read('registry_notifications_status_total', { code: '200 OK' }), 1);

  builds.answer(({ tag }) => (tag === 'a' ? refused : taken));
  await announce(store, 'a');
  while ((await read('stowage_notifications_dead_total', {})) === 0) await one.drain(longMs);
  assert.deepEqual((await counts()).slice(0, 3), [3, 2, 1]);
  assert.equal(await read('registry_notifications_pending_total', {}), 0);
});
