import assert from 'node:assert/strict';
import { removeAbandoned } from '../../../lib/maintenance/collection/marks.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import type { TestStorage } from '../../servers/storage.ts';
import { collectAll, condemn, contentOf, pause, shortFenceMs, unitMs } from './collecting.ts';
import { fillSome, lacking } from './interrupted-collection.ts';
import { textOf, type WatchedRuns } from './watched-runs.ts';

const dayMs = 24 * 3_600_000;

/** What a run does that is killed: it condemns what it finds, or deletes what was condemned before. */
export type RunKind = 'condemns' | 'deletes';

/** When a run is killed: once a request has arrived at the proxy, which does not forward it; or once the bucket has done it all. */
export type Moment = 'arrived' | 'answered';

/** A bucket for a run. */
async function prepare(
  runs: WatchedRuns,
  kind: RunKind,
): Promise<{ readonly storage: TestStorage; readonly store: ObjectStore }> {
  const storage = await runs.newBucket();
  const store = await storage.open();
  await fillSome(store);
  await pause(unitMs);
  if (kind === 'deletes') {
    await condemn(store);
    // Until all who had not read the mark can commit no more.
    await pause(shortFenceMs + unitMs);
  }
  return { storage, store };
}

/** What a bucket has at the end. That a run was active, and what a trial of the bucket at its start left, are no garbage. */
async function settledContent(store: ObjectStore): Promise<string[]> {
  // What belongs to no mark is removed after a week.
  await removeAbandoned(store, [], new Date(Date.now() + 8 * dayMs));
  return (await contentOf(store)).filter((key) => !/\/gc\/running$|\/v2\/uploads\//.test(key));
}

/** All kills of a run of one kind. */
export async function killsOf(runs: WatchedRuns, kind: RunKind): Promise<readonly (() => Promise<void>)[]> {
  const { requests, content } = await wholeRun(runs, kind);
  return Array.from({ length: requests }).flatMap((_, at) =>
    (['arrived', 'answered'] as const).map((moment) => async () => {
      await killAt(runs, kind, at, moment, content);
    }),
  );
}

/** @returns how many requests it makes, and what is in the bucket once all is done */
async function wholeRun(
  runs: WatchedRuns,
  kind: RunKind,
): Promise<{ readonly requests: number; readonly content: readonly string[] }> {
  const { storage, store } = await prepare(runs, kind);
  const { code, errors, requests } = await runs.run(storage);
  assert.equal(code, 0, errors);
  await collectAll(store);
  assert.deepEqual(await lacking(store), []);
  return { requests: requests.length, content: await settledContent(store) };
}

/**
 * Kills a run at one of its requests, from 0. No manifest may lack anything after it, and others complete its work.
 * @param content what is in the bucket then
 */
async function killAt(
  runs: WatchedRuns,
  kind: RunKind,
  at: number,
  moment: Moment,
  content: readonly string[],
): Promise<void> {
  const { storage, store } = await prepare(runs, kind);
  let killedAt = '';
  const { signal } = await runs.run(storage, async (request, index, run) => {
    if (index !== at) return 'pass';
    killedAt = textOf(request);
    const kill = async () => {
      run.signal('SIGKILL');
      await run.ended;
    };
    if (moment === 'answered') return { until: kill };
    await kill();
    return 'drop-request';
  });
  const when = `killed when request ${at} of a run that ${kind} had ${moment}: ${killedAt}`;
  assert.equal(signal, 'SIGKILL', when);
  assert.deepEqual(await lacking(store), [], when);
  await collectAll(store);
  assert.deepEqual(await lacking(store), [], `${when}, after another run`);
  assert.deepEqual(await settledContent(store), content, when);
}
