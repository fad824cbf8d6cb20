import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import type { Ground } from '../grounds.ts';
import { Random } from '../random.ts';
import { garbageIn, missingFrom, readBucket } from './bucket.ts';
import { RegistryClient, type Counts } from './client.ts';
import { assertOrderly, assertRefused, Collections, type Figures } from './collections.ts';
import { Clocks } from './clocks.ts';
import { Commands } from './commands.ts';
import { Fleet } from './fleet.ts';
import { Harm } from './harm.ts';
import { makeImages } from './images.ts';
import { Keeper, type Kept } from './keeper.ts';
import { Operator, type Undone } from './operator.ts';
import { Places, type Place } from './places.ts';
import type { Started } from './programs/start.ts';
import { RealClient, type RealCounts } from './real-client.ts';
import { Remover, type Removed } from './remover.ts';
import { delayMs, fenceMs, marginMs } from './settings.ts';
import { Starts } from './starts.ts';
import { pullPlace, Worker, type Done, type World } from './worker.ts';

export interface RoundOptions {
  readonly ground: Ground;
  /** What each client does; not how they come to lie between each other. */
  readonly seed: number;
  readonly pushes: number;
  /** Kills, stops, moved clocks, and faults of the bucket where it can fail. */
  readonly isHarmed: boolean;
  /** Whether collections take manifests without tags. */
  readonly deletesUntagged: boolean;
  /** Collections only look. */
  readonly dryRun?: boolean;
  readonly clients?: number;
  readonly instances?: number;
  /** Collections at a time. */
  readonly collectors?: number;
  /** Whether an operator undoes moves and deletes of tags meanwhile. */
  readonly undoes?: boolean;
  /** Docker and others that push and pull as well. */
  readonly programs?: readonly Started[];
}

export interface RoundResult extends Done, Counts, Undone, Kept, Removed, RealCounts, Figures {
  kills: number;
  stops: number;
}

/** Collections with everything quiet, after which no garbage may be left. */
const lastCollections = 12;

/**
 * Clients push, pull and delete on several instances while collections run without a pause: the model is in places.ts.
 * @throws Lost, ClientFailed, AssertionError
 */
export async function collectionRound(options: RoundOptions): Promise<RoundResult> {
  const {
    ground,
    seed,
    isHarmed,
    deletesUntagged,
    dryRun = false,
    instances = 3,
    collectors = 2,
    undoes = true,
    programs = [],
  } = options;
  const random = new Random(seed);
  const storage = await ground.storage(isHarmed ? new Random(random.below(2 ** 32)) : undefined);
  const clocks = await Clocks.create(random, isHarmed ? ground.clockSeconds : 0);
  const starts = new Starts(ground, storage, clocks, isHarmed);
  const fleet = new Fleet(starts);
  const [collecting, operations] = [new Commands(starts), new Commands(starts)];
  const collections = new Collections(collecting, [
    ...(dryRun ? ['--dry-run'] : ['--exclusive', '--force']),
    ...['--older-than', '0h', '--json'],
    ...(deletesUntagged ? ['--delete-untagged'] : []),
  ]);
  const isCollected = ground.isCollected && !dryRun;
  const assertEnd = ground.isCollected || dryRun ? assertOrderly : assertRefused;
  const run = new AbortController();
  const counts: Counts = { requests: 0, retries: 0, pushedAgain: 0 };
  const world: World = {
    images: makeImages(random),
    places: new Places(),
    keepsUntagged: !deletesUntagged,
    delayMs,
    done: { pushes: 0, pulls: 0, deletes: 0, referrers: 0 },
  };
  const undone: Undone = { rollbacks: 0, restores: 0, refused: 0 };
  const kept: Kept = { applied: 0, removedTags: 0 };
  const removed: Removed = { removedRepositories: 0, restoredRepositories: 0 };
  const real: RealCounts = { realPushes: 0, realPulls: 0, realFailures: 0 };
  const newRandom = () => new Random(random.below(2 ** 32));
  const clients: RegistryClient[] = [];
  // Each knows what its own operation has left behind.
  const newClient = () => {
    const made = new RegistryClient(fleet.endpoints, newRandom(), counts, { delayMs, isHarmed });
    clients.push(made);
    return made;
  };
  const client = newClient();
  const common = { commands: operations, isHarmed };
  const operator = new Operator(world, newClient(), newRandom(), undone, common);
  const listingsLag = ground.weaknesses.listingsLag === true;
  const keeper = new Keeper(world, newClient(), newRandom(), { ...common, listingsLag, kept });
  const isFenced = ground.isCollected;
  const remover = new Remover(world, newClient(), newRandom(), { ...common, isFenced, removed });
  try {
    await fleet.start(instances);
    const harm = new Harm({ fleet, collections: collecting, operations, clocks }, newRandom());
    const beside = [
      ...Array.from({ length: collectors }, async () => {
        await collections.loop(run.signal, newRandom(), (ended) => {
          assertEnd(ended, isHarmed);
        });
      }),
      ...(isHarmed ? [harm.run(run.signal)] : []),
      ...(undoes ? [operator.run(run.signal), keeper.run(run.signal), remover.run(run.signal)] : []),
      ...programs.map(async (started) => {
        const one = new RealClient(world, newClient(), newRandom(), started, {
          fleet,
          isHarmed,
          counts: real,
        });
        await one.run(run.signal);
      }),
    ];
    try {
      await Promise.race([clientsOn(fleet, world, counts, random, options, run.signal), failureOf(beside)]);
    } finally {
      run.abort();
      await Promise.allSettled(beside);
    }
    await Promise.all(beside);
    ground.heal();
    clocks.stop();
    await Promise.all([collecting.settled(), operations.settled()]);
    const store = await storage.open();
    await assertHeld(client, world);
    // In a folder a fence ends at once.
    const fencedMs = ground.canFail ? fenceMs + marginMs : 0;
    const quiet = { keepsUntagged: !deletesUntagged, fencedMs };
    if (isCollected) await assertCollected(store, collections, quiet);
    else assert.deepEqual(missingFrom(await readBucket(store, true)), [], 'what is needed and not there');
    assertEnd(await collections.run());
    await assertHeld(client, world);
    return {
      ...world.done,
      ...counts,
      ...undone,
      ...kept,
      ...removed,
      ...real,
      ...collections.figures,
      kills: fleet.kills + collecting.kills + operations.kills,
      stops: fleet.stops + collecting.stops + operations.stops,
    };
  } catch (cause) {
    throw new Error(`round ${seed} on ${ground.name} found a fault\n${fleet.output}`, { cause });
  } finally {
    for (const one of clients) one.close();
    collecting.thawAll();
    operations.thawAll();
    await fleet.stop();
    clocks.remove();
    storage.remove();
  }
}

async function clientsOn(
  fleet: Fleet,
  world: World,
  counts: Counts,
  random: Random,
  { pushes, isHarmed, clients = 16 }: RoundOptions,
  signal: AbortSignal,
): Promise<void> {
  let hasFailed = false;
  const act = async () => {
    const own = new Random(random.below(2 ** 32));
    const client = new RegistryClient(fleet.endpoints, own, counts, { delayMs, isHarmed });
    const worker = new Worker(world, client, new Random(random.below(2 ** 32)));
    try {
      while (!hasFailed && !signal.aborted && world.done.pushes < pushes) await worker.step();
    } catch (error) {
      hasFailed = true;
      throw error;
    } finally {
      client.close();
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: clients }, act));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** Never resolves, and rejects with the first that does. */
async function failureOf(endless: readonly Promise<void>[]): Promise<never> {
  await Promise.all(endless);
  return await new Promise(() => undefined);
}

/** All that is held can be pulled through each kind of reference, and what is gone is gone. */
async function assertHeld(client: RegistryClient, world: World): Promise<void> {
  const { all } = world.places;
  for (const place of all) {
    const { image, state } = place;
    if (state === 'held') {
      await pullPlace(client, place, false);
      await pullPlace(client, place, true);
    }
    if (state === 'doubtful') await assertWhole(client, world, place);
    assert.notEqual(state, 'changing', `${place.name} of ${image?.digest}`);
  }
  for (const [repository, places] of Map.groupBy(all, (place) => place.repository)) {
    const tags = await client.tags(repository);
    for (const { tag, state, name } of places)
      if (tag !== undefined && state !== 'doubtful')
        assert.equal(tags.includes(tag), state === 'held', `${name}, which is ${state}, among the tags`);
  }
}

/** Whatever a tag points at is whole. */
async function assertWhole(client: RegistryClient, { images }: World, place: Place): Promise<void> {
  const { repository, tag, image } = place;
  const digest = tag === undefined ? undefined : await client.resolve(repository, tag);
  if (digest === undefined) return;
  const pushed = [...images.images, ...(image === undefined ? [] : [image])];
  const whole = pushed.find((one) => one.digest === digest) ?? assert.fail(`nobody pushed ${digest}`);
  assert.equal(await client.pull(repository, whole, tag), undefined, `${place.name}, which is doubtful`);
}

/** After some more collections with everything quiet the bucket has what is needed, and nothing else. */
async function assertCollected(
  store: ObjectStore,
  collections: Collections,
  { keepsUntagged, fencedMs }: { keepsUntagged: boolean; fencedMs: number },
): Promise<void> {
  // What was pushed last grows old, and what was left behind lands or does not.
  await delay(delayMs + fencedMs);
  const before = await readBucket(store, keepsUntagged);
  assert.deepEqual(missingFrom(before), [], 'what is needed and not there');
  for (let i = 1; ; i++) {
    const collected = await collections.run();
    assertOrderly(collected);
    const state = await readBucket(store, keepsUntagged);
    assert.deepEqual(missingFrom(state), [], 'what is needed and not there');
    const garbage = garbageIn(state);
    if (garbage.length === 0 && state.marks.length === 0) return;
    assert.ok(
      i < lastCollections,
      `after ${i} collections there is still garbage: ${garbage.join(', ')}, and marks: ${state.marks.join(', ')}\n${collected.output}`,
    );
    await delay(Math.max(delayMs, fencedMs) / 2);
  }
}
