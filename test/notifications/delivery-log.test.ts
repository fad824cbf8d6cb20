import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DeliveryLog } from '../../lib/notifications/delivery/delivery-log.ts';
import { listEvents } from '../../lib/notifications/stored-events.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { announce, deliverer, localEndpoint, longMs, refused, taken } from './delivering.ts';

type Line = readonly [level: string, events?: number];

function logOf(lines: Line[]) {
  const write = (level: string) => (fields: object) => {
    const { events } = fields as { readonly events?: number };
    lines.push(events === undefined ? [level] : [level, events]);
  };
  return { info: write('info'), warn: write('warn'), error: write('error') };
}

describe('the log of deliveries', () => {
  it('has one warning and one error for an endpoint that refuses all, until it takes an event', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    const builds = localEndpoint('builds', { threshold: 1 });
    builds.answer(() => refused);
    const lines: Line[] = [];
    const one = deliverer(store, [builds], { log: logOf(lines) });
    // The queue is empty in between.
    for (const name of ['a', 'b', 'c']) {
      await announce(store, name);
      await one.drain(longMs);
    }
    assert.equal((await Array.fromAsync(listEvents(store, 'dead'))).length, 3);
    assert.deepEqual(lines, [['warn'], ['error', 1]]);
    for (const answer of [taken, refused]) {
      builds.answer(() => answer);
      await announce(store, 'd');
      await one.drain(longMs);
    }
    assert.deepEqual(lines.slice(2), [['info'], ['warn']]);
  });

  it('counts what is given up within a minute, and tells of it then', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const lines: Line[] = [];
    const log = new DeliveryLog(logOf(lines));
    for (let i = 0; i < 8; i++) log.gaveUp('builds', 1, 'refused');
    log.gaveUp('audit', 1, 'refused');
    assert.deepEqual(lines, [
      ['error', 1],
      ['error', 1],
    ]);
    t.mock.timers.tick(60_000);
    assert.deepEqual(lines.slice(2), [['error', 7]]);
    t.mock.timers.tick(60_000);
    log.gaveUp('builds', 1, 'refused');
    assert.deepEqual(lines.slice(3), [['error', 1]]);
  });
});
