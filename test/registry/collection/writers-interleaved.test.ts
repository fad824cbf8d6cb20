import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Digest } from '../../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../../lib/protocol/names.ts';
import { blobData, revisionLink } from '../../../lib/registry/layout.ts';
import { exists } from '../../../lib/registry/links.ts';
import { partsOf } from '../../../lib/registry/undo/content.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { interrupted } from '../interrupted.ts';
import { onFencedStores, type NewStore } from './fenced-stores.ts';
import { pushWithRetries, scenarios, type Scenario } from './pushes.ts';
import {
  beginCollection,
  collect,
  endCollection,
  fencingOf,
  referrersOf,
  taggedIn,
} from './small-collection.ts';

/** Interleavings at a time. In buckets they mostly wait until fences have ended. */
const parallelRuns = 24;

/** One is enough, unless the machine is too busy for short fences. */
const mostCollections = 4;

type SetUp = (store: ObjectStore) => Promise<Scenario>;

/** @returns whether there was a call with this number, from 0 */
type Run = (newStore: NewStore, setUp: SetUp, at: number) => Promise<boolean>;

/** Before a call of the push, all of a collection happens. */
const collectWithin: Run = async (newStore, setUp, at) => {
  const store = await newStore();
  const scenario = await setUp(store);
  const between = interrupted(store, at, async () => {
    await collect(store, scenario.collected);
  });
  const isPushed = await pushWithRetries(between.store, scenario);
  await assertSound(store, scenario, isPushed, `collected before call ${at} of the push`);
  return between.happened();
};

/** Before a call of the deletions, all of the push happens. */
const pushWithin: Run = async (newStore, setUp, at) => {
  const store = await newStore();
  const scenario = await setUp(store);
  const { names } = scenario.collected;
  let isPushed = false;
  const between = interrupted(store, at, async () => {
    isPushed = await pushWithRetries(store, scenario);
  });
  await endCollection(between.store, names, await beginCollection(store, scenario.collected));
  if (between.happened())
    await assertSound(store, scenario, isPushed, `pushed before call ${at} of the collection`);
  return between.happened();
};

async function assertSound(
  store: ObjectStore,
  { collected, pushed }: Scenario,
  isPushed: boolean,
  when: string,
): Promise<void> {
  await assertWhole(store, collected.names, when);
  if (isPushed) {
    const tags = await taggedIn(store, pushed.name);
    assert.deepEqual(
      tags.map(({ digest }) => digest),
      [pushed.digest],
      when,
    );
  }
  // Where that takes no time.
  if ((await fencingOf(store).end()) > 0) return;
  await collect(store, collected);
  await assertWhole(store, collected.names, `${when}, and again after it`);
}

/** Whatever tags reach has its bytes and links; of referrers, what is there. */
async function assertWhole(
  store: ObjectStore,
  names: readonly RepositoryName[],
  when: string,
): Promise<void> {
  for (const name of names)
    for (const { tag, digest } of await taggedIn(store, name))
      await assertManifest(store, name, digest, `${tag} ${when}`);
}

async function assertManifest(
  store: ObjectStore,
  name: RepositoryName,
  manifest: Digest,
  when: string,
): Promise<void> {
  for (const { kind, digest, isLinked, hasBytes } of await partsOf(store, name, manifest)) {
    assert.ok(
      isLinked && hasBytes,
      `${kind} ${digest}: ${isLinked ? '' : 'no link'} ${hasBytes ? '' : 'no bytes'}, ${when}`,
    );
    if (kind === 'blob') continue;
    for (const referrer of await referrersOf(store, name, digest))
      if (await exists(store, revisionLink(name, referrer)))
        await assertManifest(store, name, referrer, when);
  }
}

/** Whether there are bytes of any of them. */
async function hasBytes(store: ObjectStore, digests: readonly Digest[]): Promise<boolean> {
  const found = await Promise.all(digests.map(async (digest) => await exists(store, blobData(digest))));
  return found.includes(true);
}

/** Runs everything with an interruption before each call there is, or some of them. @returns how many */
async function everywhere(newStore: NewStore, setUp: SetUp, run: Run, every: number): Promise<number> {
  for (let done = 0; ; done += parallelRuns) {
    const runs = Array.from(
      { length: parallelRuns },
      async (_, i) => await run(newStore, setUp, (done + i) * every),
    );
    const happened = await Promise.all(runs);
    if (happened.at(-1) !== true) return done + happened.lastIndexOf(true) + 1;
  }
}

onFencedStores('a push while garbage is collected', (newStore, kind) => {
  // In buckets each waits for seconds.
  const every = kind === 'a folder' ? 1 : kind === 'versitygw' ? 2 : 7;

  for (const [what, setUp] of Object.entries(scenarios)) {
    it(`${what}: nothing is lost if a collection happens between any two steps of the push`, async () => {
      assert.ok((await everywhere(newStore, setUp, collectWithin, every)) > 0);
    });

    it(`${what}: nothing is lost if the push happens between any two steps of the deletions`, async () => {
      assert.ok((await everywhere(newStore, setUp, pushWithin, every)) > 0);
    });

    it(`${what}: what nobody pushes again is gone`, async () => {
      const store = await newStore();
      const { collected } = await setUp(store);
      // A deletion that comes too late on a busy machine is left to the next collection.
      for (let i = 0; i < mostCollections && (await hasBytes(store, collected.digests)); i++)
        await collect(store, collected);
      assert.equal(await hasBytes(store, collected.digests), false);
    });
  }
});
