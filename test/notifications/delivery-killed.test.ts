import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { deliveryLease, eventsPrefixOf, pendingPrefix } from '../../lib/registry/layout.ts';
import { StoreUnavailable, type ObjectStore } from '../../lib/storage/store.ts';
import { withObservedMethods } from '../../lib/storage/observed-store.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import {
  announce,
  deliverer,
  failed,
  localEndpoint,
  longMs,
  taken,
  type LocalEndpoint,
} from './delivering.ts';

/** Names that are pushed, in order. */
const names = ['a', 'b', 'c'];

/** A bucket that is gone from its nth request on, before or after that one has had its effect. */
function dying(
  store: ObjectStore,
  at: number,
  isAfter: boolean,
): { readonly store: ObjectStore; isDead(): boolean } {
  let requests = 0;
  const target: Record<string, unknown> = {};
  for (const method of ['head', 'read', 'put', 'delete', 'list'] as const)
    target[method] = async (...args: never[]) => {
      const number = ++requests;
      const dead = () => new StoreUnavailable('', 'killed');
      if (number > at || (number === at && !isAfter)) throw dead();
      const result = await (store[method] as (...all: never[]) => Promise<unknown>).apply(store, args);
      if (number === at) throw dead();
      return result;
    };
  return {
    store: Object.assign(Object.create(store) as ObjectStore, target),
    isDead: () => requests >= at,
  };
}

/** Takes the lease of one that died. */
function removeLease(store: MemoryStore): void {
  store.objects.delete(deliveryLease);
}

/** The first delivery of each event, in order. */
function firsts(endpoint: LocalEndpoint): readonly (string | undefined)[] {
  return [...new Set(endpoint.tags())];
}

for (const conditionalWrites of [true, false])
  describe(`a delivery that is killed on a store ${conditionalWrites ? 'with' : 'without'} conditional writes`, () => {
    for (const isDown of [false, true])
      it(`at any bucket request loses nothing, keeps ids and order${isDown ? ', after an endpoint was down' : ''}`, async () => {
        for (let at = 1, isKilled = true; isKilled; at++)
          for (const isAfter of [false, true]) {
            const store = new MemoryStore({ conditionalWrites });
            const [builds, audit] = [localEndpoint('builds'), localEndpoint('audit')];
            if (isDown) builds.answer(() => failed);
            const ids = [];
            for (const name of names) ids.push((await announce(store, name)).id);
            const bucket = dying(store, at, isAfter);
            const killed = deliverer(bucket.store, [builds, audit]);
            await killed.drain(longMs).catch(() => undefined);
            builds.answer(() => taken);
            // What it would do next, in the queue.
            if (isDown) await killed.drain(longMs).catch(() => undefined);
            isKilled = bucket.isDead();
            removeLease(store);
            const next = deliverer(store, [builds, audit]);
            while (left(store).length > 0) await next.drain(longMs);
            for (const endpoint of [builds, audit]) {
              assert.deepEqual(firsts(endpoint), names, `killed at ${at}`);
              assert.deepEqual([...new Set(endpoint.taken.map(({ id }) => id))], ids);
            }
          }
      });
  });

/** Events that are left. The state of an endpoint without any may stay, and does nothing. */
function left(store: MemoryStore): readonly string[] {
  const folders = [pendingPrefix, eventsPrefixOf('queue'), eventsPrefixOf('dead')];
  return [...store.objects.keys()].filter((key) => folders.some((folder) => key.startsWith(folder)));
}

/** Requests of what a delivery does, by method. */
async function requestsOf(
  store: MemoryStore,
  work: (counted: ObjectStore) => Promise<void>,
): Promise<readonly string[]> {
  const requests: string[] = [];
  const counted = withObservedMethods(store, (method) => () => {
    requests.push(method);
    return () => undefined;
  });
  await work(counted);
  return requests;
}

/** Nothing is done because some time has passed. */
const rarely = { timing: { lookMs: longMs, pollMs: longMs } };

describe('bucket requests of a delivery', () => {
  it('that finds nothing to do are one', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    const requests = await requestsOf(store, async (counted) => {
      await deliverer(counted, [localEndpoint('builds')], rarely).drain(longMs);
    });
    assert.deepEqual(requests, ['list']);
  });

  it('of one push to one endpoint are eight beside those that look whether it happened', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    await announce(store, 'a');
    const requests = await requestsOf(store, async (counted) => {
      await deliverer(counted, [localEndpoint('builds')], rarely).drain(longMs);
    });
    assert.deepEqual(requests, [
      'list', // What there is to do.
      'put', // The lease.
      'list', // Queues of endpoints.
      'list', // Intents,
      'read', // the one,
      'delete', // which is done with.
      'list', // There is no other.
      'delete', // The lease.
    ]);
  });

  it('of another push while an endpoint is down are its write to the queue, and none until the next delivery is due', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    const builds = localEndpoint('builds', { backoffMs: 3_600_000 });
    builds.answer(() => ({ ...failed, retryAfterMs: 3_600_000 }));
    await announce(store, 'a');
    await deliverer(store, [builds], rarely).drain(longMs);
    await announce(store, 'b');
    const pushed = await requestsOf(store, async (counted) => {
      await deliverer(counted, [builds], rarely).drain(longMs);
    });
    assert.deepEqual(pushed, [
      'list',
      'put', // The lease.
      'list', // There is one with a queue,
      'read', // which is not due.
      'list',
      'read', // The intent
      'put', // goes to the queue.
      'delete',
      'list',
      'delete', // The lease.
    ]);
    const idle = await requestsOf(store, async (counted) => {
      await deliverer(counted, [builds], rarely).drain(longMs);
    });
    assert.deepEqual(idle, ['list', 'list', 'read']);
    assert.equal(builds.attempts, 1);
  });

  it('of each event in the queue of an endpoint that is up again are one read and at most one delete', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    const builds = localEndpoint('builds', { backoffMs: 1 });
    builds.answer(() => failed);
    for (let i = 0; i < 50; i++) await announce(store, `v${i}`);
    await deliverer(store, [builds], rarely).drain(longMs);
    builds.answer(() => taken);
    // Until the next delivery is due.
    await delay(5);
    const requests = await requestsOf(store, async (counted) => {
      await deliverer(counted, [builds], rarely).drain(longMs);
    });
    assert.equal(builds.taken.length, 50);
    const reads = requests.filter((method) => method === 'read').length;
    // Two are of the state of the endpoint: is it due, before and with the lease.
    assert.equal(reads, 52);
    // Of deletes, those that come while one is in progress go together.
    const others = requests.filter((method) => !['read', 'delete'].includes(method));
    assert.deepEqual(others, ['list', 'list', 'put', 'list', 'list', 'list', 'list']);
  });
});
