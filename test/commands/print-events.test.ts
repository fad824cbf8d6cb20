import assert from 'node:assert/strict';
import { before, describe, it, type TestContext } from 'node:test';
import { printEvents } from '../../lib/commands/events/print-events.ts';
import { serializeNotification } from '../../lib/notifications/delivery/stored-notification.ts';
import { eventsPrefixOf } from '../../lib/registry/layout.ts';
import { notificationOf } from '../notifications/samples.ts';
import { MemoryStore } from '../registry/memory-store.ts';

describe('a list of more events than are listed by default', () => {
  let store: MemoryStore;

  before(async () => {
    store = new MemoryStore({ conditionalWrites: true });
    const bytes = serializeNotification(notificationOf());
    for (let i = 0; i < 1003; i++)
      await store.put(`${eventsPrefixOf('queue', 'builds')}${String(i).padStart(4, '0')}`, bytes);
  });

  async function printed(t: TestContext, options: { readonly json: boolean; readonly isAll: boolean }) {
    let text = '';
    const write = (piece: string) => {
      text += piece;
      return true;
    };
    const out = t.mock.method(process.stdout, 'write', write);
    const log = t.mock.method(console, 'log', (line: string) => write(`${line}\n`));
    try {
      await printEvents(store, 'builds', options);
    } finally {
      out.mock.restore();
      log.mock.restore();
    }
    return text;
  }

  it('says how many more there are, and has all if that is asked for', async (t) => {
    const some = (await printed(t, { json: false, isAll: false })).trimEnd().split('\n');
    assert.match(some[0] ?? '', /^TIME +ID +EVENT +OF +STATE$/);
    assert.equal(some.length, 1 + 1000 + 1);
    assert.equal(some.at(-1), 'and 3 more; --all lists them');
    const all = (await printed(t, { json: false, isAll: true })).trimEnd().split('\n');
    assert.equal(all.length, 1 + 1003);
  });

  it('is one object for programs', async (t) => {
    for (const [isAll, length, more] of [
      [false, 1000, 3],
      [true, 1003, 0],
    ] as const) {
      const { events, ...rest } = JSON.parse(await printed(t, { json: true, isAll })) as { events: object[] };
      assert.deepEqual([events.length, rest], [length, { version: 1, endpoint: 'builds', more }]);
    }
  });

  it('is printed while it is read', async (t) => {
    const readsAtLines: number[] = [];
    const read = t.mock.method(store, 'read');
    const log = t.mock.method(console, 'log', () => readsAtLines.push(read.mock.callCount()));
    await printEvents(store, 'builds', { json: false, isAll: true });
    log.mock.restore();
    assert.equal(read.mock.callCount(), 1003);
    assert.ok((readsAtLines[0] ?? Infinity) < 200, `the first line came after ${readsAtLines[0]} reads`);
  });
});
