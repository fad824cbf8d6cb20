import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { readState, writeState } from '../../lib/notifications/delivery/endpoint-state.ts';
import type { PendingWrites } from '../../lib/notifications/delivery/pending-writes.ts';
import { serializeNotification } from '../../lib/notifications/delivery/stored-notification.ts';
import type { NotificationReport } from '../../lib/notifications/report.ts';
import {
  listEvents,
  purgeEvents,
  replayEvents,
  type StoredKind,
} from '../../lib/notifications/stored-events.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { eventsPrefix, eventsPrefixOf } from '../../lib/registry/layout.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import {
  allHappened,
  announce,
  deliverer,
  failed,
  localEndpoint,
  longMs,
  quiet,
  refused,
  taken,
  until,
  type LocalEndpoint,
} from './delivering.ts';
import { intentOf, notificationOf, pushed } from './samples.ts';

async function tagsIn(store: ObjectStore, kind: StoredKind): Promise<readonly (string | undefined)[]> {
  return (await Array.fromAsync(listEvents(store, kind))).map(({ notification }) => notification?.tag);
}

describe('the deliverer', () => {
  let store: MemoryStore;
  let builds: LocalEndpoint;
  let audit: LocalEndpoint;

  beforeEach(() => {
    store = new MemoryStore({ conditionalWrites: true });
    builds = localEndpoint('builds');
    audit = localEndpoint('audit');
  });

  /** Keys of events that are left. */
  const left = () => [...store.objects.keys()].filter((key) => key.startsWith(eventsPrefix));

  it('tells each endpoint of each event in order, and leaves nothing', async () => {
    for (const one of ['a', 'b', 'c']) await announce(store, one);
    assert.ok(await deliverer(store, [builds, audit]).drain(longMs));
    assert.deepEqual([builds.tags(), audit.tags(), left()], [['a', 'b', 'c'], ['a', 'b', 'c'], []]);
  });

  it('tells an endpoint only of what it takes', async () => {
    const some = localEndpoint('some', {
      takes: ({ change }) => 'tags' in change && change.tags.includes('b' as never),
    });
    for (const one of ['a', 'b']) await announce(store, one);
    await deliverer(store, [builds, some]).drain(longMs);
    assert.deepEqual([builds.tags(), some.tags(), left()], [['a', 'b'], ['b'], []]);
  });

  it('keeps events for an endpoint that fails, in order, and delivers them to the others', async () => {
    const ids = [(await announce(store, 'a')).id, (await announce(store, 'b')).id];
    builds.answer(() => failed);
    const one = deliverer(store, [builds, audit], { timing: { maxAgeMs: Infinity } });
    await one.drain(longMs);
    assert.deepEqual(
      [audit.tags(), builds.taken, await tagsIn(store, 'queue')],
      [['a', 'b'], [], ['a', 'b']],
    );
    ids.push((await announce(store, 'c')).id);
    builds.answer(() => taken);
    // The next delivery is due after some milliseconds.
    while (builds.taken.length < 3) await one.drain(longMs);
    assert.deepEqual(
      builds.taken.map(({ id }) => id),
      ids,
    );
    assert.deepEqual(left(), []);
  });

  it('asks an endpoint that fails once in a run, however many events there are', async () => {
    builds.answer(() => failed);
    const one = deliverer(store, [localOf(builds, { backoffMs: 60_000 })]);
    for (const name of ['a', 'b', 'c', 'd']) await announce(store, name);
    await one.drain(longMs);
    assert.equal(builds.attempts, 1);
  });

  it('waits as long as an endpoint asks for', async () => {
    builds.answer(() => ({ ...failed, retryAfterMs: 60_000 }));
    await announce(store, 'a');
    const one = deliverer(store, [builds]);
    for (let i = 0; i < 3; i++) await one.drain(longMs);
    assert.equal(builds.attempts, 1);
  });

  it('gives up an event that is refused as often as the threshold says, and goes on', async () => {
    const reports: NotificationReport[] = [];
    builds.answer(({ tag }) => (tag === 'a' ? refused : taken));
    for (const name of ['a', 'b']) await announce(store, name);
    const errors: object[] = [];
    const one = deliverer(store, [builds], {
      report: (_, report) => reports.push(report),
      log: { ...quiet, error: (fields) => errors.push(fields) },
    });
    while (builds.taken.length === 0) await one.drain(longMs);
    assert.deepEqual([builds.tags(), builds.attempts], [['b'], 4]);
    const dead = await Array.fromAsync(listEvents(store, 'dead'));
    assert.deepEqual(
      dead.map(({ endpoint, notification, givenUp }) => [endpoint, notification?.tag, givenUp?.reason]),
      [['builds', 'a', 'refused 3 times: it does not like this']],
    );
    assert.deepEqual(
      reports.filter(({ event }) => event === 'dead'),
      [{ event: 'dead', count: 1 }],
    );
    assert.partialDeepStrictEqual(errors, [{ endpoint: 'builds', events: 1 }]);
  });

  it('does not wait longer and longer with an event whose content is refused', async () => {
    const patient = localEndpoint('patient', { threshold: 30, backoffMs: 1000 });
    patient.answer(() => ({ ...refused, isAboutEvent: true }));
    await announce(store, 'a');
    await deliverer(store, [patient]).drain(1);
    await writeState(store, 'patient', { failures: 20, nextAt: new Date(0) });
    await deliverer(store, [patient]).drain(1);
    const { failures, nextAt } = await readState(store, 'patient');
    assert.ok(failures > 20);
    // The longest wait of the twentieth failure would be five minutes.
    assert.ok(nextAt.getTime() <= Date.now() + 1000);
  });

  it('begins anew with the waits after an event that it has given up', async () => {
    builds.answer(({ tag }) => (tag === 'a' ? refused : { ...failed, retryAfterMs: longMs }));
    for (const name of ['a', 'b']) await announce(store, name);
    const one = deliverer(store, [builds]);
    while (builds.attempts < 4) await one.drain(longMs);
    assert.deepEqual([await tagsIn(store, 'dead'), (await readState(store, 'builds')).failures], [['a'], 1]);
  });

  it('gives up an event at which an endpoint fails, and goes on', async () => {
    builds.answer(({ tag }) => {
      if (tag === 'a') throw new TypeError('no such field');
      return taken;
    });
    for (const name of ['a', 'b']) await announce(store, name);
    const one = deliverer(store, [builds]);
    while (builds.taken.length === 0) await one.drain(longMs);
    const dead = await Array.fromAsync(listEvents(store, 'dead'));
    assert.deepEqual(
      dead.map(({ givenUp }) => givenUp?.reason),
      ['refused 3 times: it cannot be sent: TypeError: no such field'],
    );
  });

  it('gives up what was not taken for too long', async () => {
    builds.answer(() => failed);
    for (const name of ['a', 'b']) await announce(store, name);
    const one = deliverer(store, [builds], { timing: { maxAgeMs: 0 } });
    while ((await tagsIn(store, 'dead')).length < 2) await one.drain(longMs);
    assert.deepEqual([await tagsIn(store, 'dead'), await tagsIn(store, 'queue')], [['a', 'b'], []]);
  });

  for (const [minutes, kind] of [
    [24 * 60 - 1, 'queue'],
    [24 * 60, 'dead'],
  ] as const)
    it(`has what was not taken for ${minutes} minutes in ${kind}`, async () => {
      const now = () => new Date(Date.now() - minutes * 60_000);
      const aged = new MemoryStore({ conditionalWrites: true, now });
      builds.answer(() => failed);
      await announce(aged, 'a');
      await deliverer(aged, [builds]).drain(longMs);
      assert.deepEqual(await tagsIn(aged, kind), ['a']);
    });

  it('sends again what a command replays, with the same ids', async () => {
    builds.answer(() => refused);
    const { id } = await announce(store, 'a');
    const once = localOf(builds, { threshold: 1 });
    while ((await tagsIn(store, 'dead')).length === 0) await deliverer(store, [once]).drain(longMs);
    builds.answer(() => taken);
    assert.equal(await replayEvents(store, { endpoint: 'builds' }), 1);
    await deliverer(store, [once]).drain(longMs);
    assert.deepEqual(
      builds.taken.map((one) => one.id),
      [id],
    );
    assert.deepEqual(left(), []);
  });

  it('leaves the queue of an endpoint that was removed, names it once, and lets it be purged', async () => {
    builds.answer(() => failed);
    await announce(store, 'a');
    await deliverer(store, [builds]).drain(longMs);
    const warnings: [object, string][] = [];
    const one = deliverer(store, [audit], {
      log: { ...quiet, warn: (...warning) => warnings.push(warning) },
    });
    await announce(store, 'b');
    for (let i = 0; i < 2; i++) await one.drain(longMs);
    assert.equal(warnings.length, 1);
    assert.deepEqual(warnings[0]?.[0], { endpoint: 'builds' });
    assert.match(warnings[0][1], /run `stowage events purge builds --waiting`$/);
    assert.equal(await purgeEvents(store, 'queue', { endpoint: 'builds' }), 1);
    assert.deepEqual([audit.tags(), left()], [['b'], []]);
  });

  it('waits for nobody: an endpoint that never answers holds up no other', async () => {
    const stop = new AbortController();
    builds.answer(async (_, signal) => {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      signal?.addEventListener('abort', () => {
        resolve(undefined);
      });
      await promise;
      return failed;
    });
    const one = deliverer(store, [builds, audit], { timing: { slowMs: 20 } });
    const running = one.run(stop.signal);
    for (const name of ['a', 'b', 'c']) {
      await announce(store, name);
      one.wake();
    }
    await until(() => audit.taken.length === 3);
    for (const name of ['d', 'e']) await announce(store, name);
    one.wake();
    await until(() => audit.taken.length === 5);
    assert.equal(builds.attempts, 1);
    stop.abort();
    await running;
    // The one that was in progress is still with the writes.
    const queued = await tagsIn(store, 'queue');
    assert.deepEqual(queued.slice(-2), ['d', 'e']);
    builds.answer(() => taken);
    await deliverer(store, [builds]).drain(longMs);
    assert.deepEqual(builds.tags().toSorted(), ['a', 'b', 'c', 'd', 'e']);
  });

  it('delivers what is written while it runs, and what others wrote before', async () => {
    const stop = new AbortController();
    await announce(store, 'a');
    const one = deliverer(store, [builds]);
    const running = one.run(stop.signal);
    await until(() => builds.taken.length === 1);
    await announce(store, 'b');
    one.wake();
    await until(() => builds.taken.length === 2);
    stop.abort();
    await running;
    assert.deepEqual(left(), []);
  });

  it('of two processes, one delivers; the other takes over once it has stopped', async () => {
    const stops = [new AbortController(), new AbortController()];
    const both = stops.map((stop) => {
      const one = deliverer(store, [builds], { timing: { idleMs: longMs } });
      return { one, stop, running: one.run(stop.signal) };
    });
    const names = Array.from({ length: 20 }, (_, i) => `v${String(i).padStart(2, '0')}`);
    for (const [i, name] of names.entries()) {
      if (i === 10) stops[0]?.abort();
      await announce(store, name);
      for (const { one } of both) one.wake();
    }
    await until(() => builds.taken.length >= names.length);
    assert.deepEqual(builds.tags(), names);
    for (const { stop, running } of both) {
      stop.abort();
      await running;
    }
    assert.deepEqual(left(), []);
  });

  /** Writes some of which are undecided or were dropped, by their tags. The others have happened. */
  function outcomesOf(outcomes: ReadonlyMap<string, 'blocks' | 'open' | 'dropped'>): PendingWrites {
    const writes = allHappened(store);
    return {
      ...writes,
      resolve: async (all) =>
        (await writes.resolve(all)).map((resolution, i) => {
          const { change } = all[i]?.intent ?? {};
          const tag = change !== undefined && 'tags' in change ? change.tags[0] : undefined;
          const outcome = outcomes.get(tag ?? '');
          if (outcome === undefined) return resolution;
          return outcome === 'dropped' ? { outcome } : { outcome: 'undecided', blocks: outcome === 'blocks' };
        }),
    };
  }

  const elsewhere = () => intentOf({ ...pushed, repository: parseRepositoryName('team/other') });

  it('delivers nothing of a repository after an event that is undecided and may have been answered, and everything else', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await announce(store, name);
    await announce(store, 'f', elsewhere());
    const outcomes = new Map([
      ['a', 'open'],
      ['b', 'dropped'],
      ['d', 'blocks'],
    ] as const);
    const one = deliverer(store, [builds], { writes: outcomesOf(outcomes) });
    await one.drain(longMs);
    assert.deepEqual(builds.tags(), ['c', 'f']);
    outcomes.clear();
    await one.drain(longMs);
    assert.deepEqual([builds.tags(), left()], [['c', 'f', 'a', 'd', 'e'], []]);
  });

  it('delivers what comes after more events that wait than are read at a time', async () => {
    for (let i = 0; i < 1100; i++) await announce(store, `v${i}`);
    await announce(store, 'last', elsewhere());
    const writes = outcomesOf(new Map([['v0', 'blocks']]));
    await deliverer(store, [builds], { writes }).drain(longMs);
    assert.deepEqual(builds.tags(), ['last']);
  });

  it('keeps events in the queue that nobody can read among the dead ones, and goes on', async () => {
    const whole = notificationOf();
    const damaged = { ...whole, change: { ...whole.change, repository: undefined } };
    const queued = [
      '{"version":2}',
      JSON.stringify({ version: 1, notification: damaged }),
      serializeNotification(whole).toString(),
    ];
    for (const [i, text] of queued.entries())
      await store.put(`${eventsPrefixOf('queue', 'builds')}000000000000${i}-x-0000`, Buffer.from(text));
    await deliverer(store, [builds]).drain(longMs);
    assert.deepEqual(await tagsIn(store, 'dead'), [undefined, undefined]);
    assert.deepEqual(builds.taken, [whole]);
    assert.equal(builds.attempts, 1);
  });
});

/** The same endpoint with other settings. */
function localOf(endpoint: LocalEndpoint, options: Partial<LocalEndpoint>): LocalEndpoint {
  return { ...endpoint, ...options };
}
