/** What the function `events` does in an invocation: lib/lambda/deliver.ts. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { loadConfig } from '../../lib/config/config.ts';
import { deliver } from '../../lib/lambda/deliver.ts';
import { eventsPrefix, pendingPrefix } from '../../lib/registry/layout.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { prepared, writes } from '../registry/outbox/writes.ts';
import { receiver, type Receiver } from './receiver.ts';

type Put = (key: string, ...others: readonly unknown[]) => Promise<unknown>;

/** A bucket in which what is put under some keys waits. */
function stalled(
  store: MemoryStore,
  key: RegExp,
): { store: MemoryStore; reached: Promise<void>; end(): void } {
  const [reached, released] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  const own = new Proxy(store, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      if (property !== 'put' && property !== 'putInOrder') return value.bind(target) as unknown;
      return async (at: string, ...others: readonly unknown[]) => {
        if (key.test(at)) {
          reached.resolve(undefined);
          await released.promise;
        }
        return await (value as Put).call(target, at, ...others);
      };
    },
  });
  return {
    store: own,
    reached: reached.promise,
    end: () => {
      released.resolve(undefined);
    },
  };
}

/** A bucket whose listings are told of. */
function withListings(store: MemoryStore, onList: (prefix: string | undefined) => void): MemoryStore {
  return new Proxy(store, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      if (property !== 'list') return value.bind(target) as unknown;
      return async (options: Parameters<MemoryStore['list']>[0]) => {
        onList(options.prefix);
        return await target.list(options);
      };
    },
  });
}

describe('the function events', () => {
  const log = pino({ level: 'silent' });
  const started: Receiver[] = [];
  let store: MemoryStore;
  let builds: Receiver;

  beforeEach(async () => {
    store = new MemoryStore({ conditionalWrites: true });
    builds = await receiver();
    started.push(builds);
  });

  after(async () => {
    for (const one of started) await one.stop();
  });

  const times = { budgetMs: 60_000, waitMs: 60_000, lookMs: 5, youngMs: 60_000 };

  const run = async (own = store, more: Partial<typeof times> = {}) => {
    const endpoint = {
      name: 'builds',
      url: builds.url,
      privateaddresses: true,
      threshold: 1,
      timeout: '1m',
    };
    const settings = {
      REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([endpoint]),
    };
    await deliver({ config: loadConfig('maintenance', settings), store: own }, log, { ...times, ...more });
  };

  const pushes = writes['a push by tag'] ?? assert.fail();
  const push = async (own = store) => await (await prepared(pushes, store)).make(own);
  const bodies = () =>
    builds.received.map(
      ({ body }) => (JSON.parse(body) as { events: { id: string; action: string }[] }).events,
    );
  const left = () => [...store.objects.keys()].filter((key) => key.startsWith(eventsPrefix));

  it('lists once if there is nothing to deliver', async () => {
    const lists: (string | undefined)[] = [];
    await run(withListings(store, (prefix) => lists.push(prefix)));
    assert.deepEqual(lists, [eventsPrefix]);
  });

  it('delivers what was pushed, and leaves nothing', async () => {
    await push();
    await run();
    assert.deepEqual(
      bodies().map((events) => events.map(({ action }) => action)),
      [['push']],
    );
    assert.deepEqual(left(), []);
  });

  it('waits for a write that is in progress', async () => {
    const pusher = stalled(store, /\/current\/link$/);
    const pushing = push(pusher.store);
    await pusher.reached;
    let looks = 0;
    const own = withListings(store, (prefix) => {
      if (prefix !== eventsPrefix || ++looks < 3) return;
      if (looks === 3) assert.equal(builds.received.length, 0);
      pusher.end();
    });
    await Promise.all([run(own), pushing]);
    assert.equal(builds.received.length, 1);
    assert.deepEqual(left(), []);
  });

  it('ends before a write that takes too long, whose event a later one delivers', async () => {
    const pusher = stalled(store, /\/current\/link$/);
    const pushing = push(pusher.store);
    await pusher.reached;
    await run(store, { waitMs: 0 });
    // Nor does it wait for one that was interrupted long ago.
    await run(store, { youngMs: 0 });
    assert.equal(builds.received.length, 0);
    pusher.end();
    await pushing;
    await run();
    assert.equal(builds.received.length, 1);
  });

  it('ends in time though an endpoint does not answer, and delivers the event again', async () => {
    await push();
    builds.answer(() => undefined);
    // Of these, 5 s are for what is in progress.
    await run(store, { budgetMs: 6_000, waitMs: 0 });
    assert.ok(left().some((key) => key.startsWith(pendingPrefix)));
    builds.answer((response) => response.end());
    await run();
    assert.equal(new Set(bodies().flatMap((events) => events.map(({ id }) => id))).size, 1);
    assert.deepEqual(left(), []);
  });

  it('fails if an event was given up, once', async () => {
    await push();
    builds.answer((response) => response.writeHead(400).end());
    await assert.rejects(run(), /^Error: 1 event was given up/);
    assert.ok(left().some((key) => key.startsWith(`${eventsPrefix}dead/builds/`)));
    await run();
  });
});
