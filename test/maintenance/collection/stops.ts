import assert from 'node:assert/strict';
import { exists } from '../../../lib/registry/links.ts';
import { blobData, revisionLink } from '../../../lib/registry/layout.ts';
import { pushWithRetries, scenarios, type Scenario } from '../../registry/collection/pushes.ts';
import { taggedIn } from '../../registry/collection/small-collection.ts';
import type { BucketRequest } from '../../servers/bucket-proxy.ts';
import type { TestStorage } from '../../servers/storage.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { collectAll, condemn, contentOf, pause, shortFenceMs, unitMs } from './collecting.ts';
import { lacking } from './interrupted-collection.ts';
import type { Moment } from './kills.ts';
import { textOf, type WatchedRuns } from './watched-runs.ts';

/** Pushes of something that a run is about to delete. An undo may be refused then, so there is nothing to ask of it. */
export const stoppedScenarios = [
  'an index of images that are there',
  'an image whose blobs are there',
  'a manifest whose blobs the client has found before',
  'an image whose blobs are mounted',
  'a tag for an image with a signature',
] as const;

type ScenarioName = (typeof stoppedScenarios)[number];

/** Tells at which requests of a run it is stopped: records of deletions, deletions, and what removes the records. */
function stopsOf(): (request: BucketRequest) => boolean {
  let deletes = false;
  return ({ operation, key }) => {
    const isRecord = key.startsWith('docker/registry/v2/gc/deleting/');
    // Before that, it tries whether the bucket enforces fences.
    deletes ||= isRecord;
    return isRecord || (deletes && operation === 'DeleteObjects');
  };
}

interface Prepared {
  readonly storage: TestStorage;
  readonly store: ObjectStore;
  readonly scenario: Scenario;
}

/** A bucket of which all was condemned, but for the push of a client that is to come. */
async function prepare(runs: WatchedRuns, name: ScenarioName): Promise<Prepared> {
  const storage = await runs.newBucket();
  const store = await storage.open();
  const scenario = await scenarios[name]?.(store);
  assert.ok(scenario !== undefined);
  await pause(unitMs);
  await condemn(store);
  await pause(shortFenceMs + unitMs);
  return { storage, store, scenario };
}

/** All stops of a run that deletes what a scenario has. */
export async function stopsIn(
  runs: WatchedRuns,
  name: ScenarioName,
): Promise<readonly (() => Promise<void>)[]> {
  return Array.from({ length: await countStops(runs, name) }).flatMap((_, at) =>
    (['arrived', 'answered'] as const).map((moment) => async () => {
      await stopAt(runs, name, at, moment);
    }),
  );
}

async function countStops(runs: WatchedRuns, name: ScenarioName): Promise<number> {
  const { storage, store, scenario } = await prepare(runs, name);
  const { code, errors, requests } = await runs.run(storage);
  assert.equal(code, 0, errors);
  for (const digest of scenario.collected.digests) assert.equal(await exists(store, blobData(digest)), false);
  return requests.filter(stopsOf()).length;
}

/**
 * Stops a run that deletes, at one of the requests that count, from 0, until nothing can land that it has signed. A client pushes
 * meanwhile what the run is about to delete, or has deleted.
 */
async function stopAt(runs: WatchedRuns, name: ScenarioName, at: number, moment: Moment): Promise<void> {
  const { storage, store, scenario } = await prepare(runs, name);
  const { pushed } = scenario;
  const isStop = stopsOf();
  let stops = 0;
  let stoppedAt = '';
  const { code, errors, output } = await runs.run(storage, async (request, _, run) => {
    if (!isStop(request) || stops++ !== at) return 'pass';
    stoppedAt = textOf(request);
    const stop = async () => {
      run.signal('SIGSTOP');
      try {
        await Promise.all([pushWithRetries(store, scenario), pause(shortFenceMs + unitMs)]);
      } finally {
        run.signal('SIGCONT');
      }
    };
    if (moment === 'answered') return { until: stop };
    await stop();
    return 'pass';
  });
  const when = `${name}, stopped when stop ${at} had ${moment}: ${stoppedAt}`;
  assert.ok(stops > at, when);
  // It may find its request too old to wait for, and then fails; another run goes on.
  const isExcused = code === 1 && /does not answer|came too late/.test(errors);
  assert.ok(code === 0 || isExcused, `${when}\n${errors}${output}`);
  const check = async (after: string) => {
    assert.deepEqual(await lacking(store), [], `${when}, ${after}`);
    const tags = await taggedIn(store, pushed.name);
    assert.deepEqual(tags, [{ tag: 'v1', digest: pushed.digest }], `${when}, ${after}`);
    // Then it lacks nothing. What is about it may have gone before the push.
    for (const key of [blobData(pushed.digest), revisionLink(pushed.name, pushed.digest)])
      assert.ok(await exists(store, key), `${key}, ${when}, ${after}`);
  };
  await check('after the run');
  await collectAll(store);
  await check('after another run');
  const left = (await contentOf(store)).filter((key) => key.includes('/gc/'));
  assert.deepEqual(left, [], when);
}
