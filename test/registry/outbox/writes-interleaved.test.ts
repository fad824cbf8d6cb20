import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseReference } from '../../../lib/protocol/references.ts';
import { parseTag } from '../../../lib/protocol/tags.ts';
import { TagImmutable, type Registry } from '../../../lib/registry/interface.ts';
import { tagLink } from '../../../lib/registry/layout.ts';
import type { Announce } from '../../../lib/registry/outbox/announcement.ts';
import { deleteRepository } from '../../../lib/registry/undo/delete-repository.ts';
import { restoreRepository } from '../../../lib/registry/undo/restore-repository.ts';
import { FilesystemStore } from '../../../lib/storage/filesystem/store.ts';
import { FenceEnded, StoreUnavailable, type ObjectStore } from '../../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../../servers/folder.ts';
import { onFencedStores } from '../collection/fenced-stores.ts';
import { intercepted, interrupted } from '../interrupted.ts';
import { announcing, context, Deliveries, outboxOn, registryOn } from './deliveries.ts';
import { Place, prepared, short, tick, writes, type Prepare } from './writes.ts';

const type = 'application/vnd.oci.image.manifest.v1+json';

let folder: Folder;
let store: FilesystemStore;

before(async () => {
  folder = await temporaryFolder('outbox');
  store = await FilesystemStore.open(folder.path);
});

after(() => {
  folder.remove();
});

/**
 * Delivers before a call of a write, and after it.
 * @returns whether there was a call with this number, from 0
 */
async function deliverWithin(
  prepare: Prepare,
  at: number,
  look: (deliveries: Deliveries) => Promise<unknown>,
): Promise<boolean> {
  const write = await prepared(prepare, store);
  const deliveries = new Deliveries(store);
  let seenThen: readonly string[] = [];
  const own = interrupted(store, at, async () => {
    await look(deliveries);
    seenThen = await write.seen();
  });
  await write.make(own.store);
  const early = deliveries.summaries.filter((one) => !seenThen.includes(one));
  assert.deepEqual(early, [], `delivered before call ${at}, and not seen then`);
  await deliveries.lookLater();
  const events = [...new Set(deliveries.events.map((event) => JSON.stringify(event)))];
  assert.equal(events.length, deliveries.events.length, 'an event is delivered once');
  assert.deepEqual(deliveries.summaries.toSorted(), (await write.seen()).toSorted(), `before call ${at}`);
  return own.happened();
}

describe('a delivery during a write', () => {
  for (const what of ['a push that moves a tag', 'the end of an upload', 'a mount', 'a delete of a manifest'])
    it(`finds the event of ${what} once it can be seen, at any step`, async () => {
      const prepare = writes[what] ?? assert.fail();
      let at = 0;
      while (await deliverWithin(prepare, at, async (deliveries) => await deliveries.look())) at += 1;
      assert.ok(at > 3, `${at} calls`);
    });
});

onFencedStores('a write that is held up until its intent is dropped', (newStore, kind) => {
  const held =
    kind === 'a folder'
      ? Object.keys(writes)
      : kind === 'MinIO'
        ? ['a push by tag', 'a delete of a tag']
        : [];
  // Ends the fences of a folder; those of a bucket end by themselves.
  const waitMs = kind === 'a folder' ? 0 : 3500;

  for (const what of held.filter((one) => !one.endsWith('of a repository')))
    it(`${what} is announced again before it can be seen`, async () => {
      const prepare = writes[what] ?? assert.fail();
      const holdAt = async (at: number) => {
        const own = await newStore();
        const write = await repeated(async () => await prepared(prepare, own));
        const deliveries = new Deliveries(own);
        // Of a write that was held up half-way, that half.
        let seenThen: readonly string[] = [];
        const between = interrupted(own, at, async () => {
          await sleep(waitMs);
          await deliveries.lookLater();
          seenThen = await write.seen();
        });
        // The client of an upload that was held up repeats it.
        await write.make(between.store).catch(async () => await repeated(async () => await write.make(own)));
        await deliveries.lookLater();
        const seen = await write.seen();
        assert.deepEqual(
          new Set(deliveries.summaries),
          new Set([...seenThen, ...seen]),
          `held before call ${at}`,
        );
        assert.ok(seen.length > 0);
        return between.happened();
      };
      // All at once, since in buckets they mostly wait.
      for (let at = 0, more = true; more; at += 8) {
        const batch = Array.from({ length: 8 }, async (_, i) => await holdAt(at + i));
        more = (await Promise.all(batch)).every(Boolean);
      }
    });
});

/** On a busy machine, fences that are this short end before their commit. */
async function repeated<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 10; ; left--)
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof FenceEnded) || left === 0) throw error;
    }
}

/** A write that is going to be refused. */
interface Refused {
  readonly at: Place;
  readonly make: (registry: Registry) => Promise<unknown>;
  /** The events of what can be seen of it all the same; by default none. */
  readonly seen?: () => Promise<readonly string[]>;
}

describe('a refused write', () => {
  /** Delivers before each call of a write that is refused. @returns the events of the refused ones */
  async function eventsOf(
    prepare: () => Promise<Refused>,
    meanwhile: (at: Place) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<readonly string[]> {
    const events: string[] = [];
    let wasRefused = false;
    for (let call = 0; ; call += 1) {
      const { at, make, seen = async () => await Promise.resolve([]) } = await prepare();
      await sleep(tick);
      const deliveries = new Deliveries(store);
      const between = interrupted(store, call, async () => {
        await meanwhile(at);
        await deliveries.look();
      });
      const outcome: unknown = await make(announcing(between.store)).catch((error: unknown) => error);
      const isRefused = outcome instanceof Error;
      wasRefused ||= isRefused;
      await deliveries.lookLater();
      const when = `before call ${call}: ${String(outcome)}`;
      if (isRefused) assert.deepEqual(deliveries.summaries, await seen(), when);
      if (isRefused) events.push(...deliveries.summaries);
      if (!between.happened()) break;
    }
    assert.ok(wasRefused);
    return events;
  }

  it('has no event if the repository lacks a blob, also of a manifest that is there', async () => {
    await eventsOf(async () => {
      const at = new Place(store);
      const { bytes, digest } = await at.image();
      await at.push(bytes, 'v1');
      const { config } = JSON.parse(bytes.toString()) as { config: { digest: string } };
      const named = parseReference(config.digest);
      if (named.kind === 'digest') await registryOn(store).blobs.delete(at.name, named.digest);
      const make = async ({ manifests }: Registry) =>
        await manifests.put(at.name, parseReference(digest), bytes, type);
      return { at, make };
    });
  });

  it('has the event of what can be seen if another push creates the immutable tag first', async () => {
    const events = await eventsOf(
      async () => {
        const at = new Place(store);
        const { bytes, digest } = await at.image();
        const immutable = () => 'a rule';
        const make = async ({ manifests }: Registry) =>
          await manifests.put(at.name, parseReference('v1'), bytes, type, { immutable });
        return { at, make, seen: async () => await at.seenPush(digest) };
      },
      async (at) => await at.pushed('v1'),
    );
    assert.ok(events.length > 0, 'the manifest can be seen without the tag');
  });

  it('has that event at once, also of the tags that were moved before another was refused', async () => {
    const at = new Place(store);
    const { bytes, digest } = await at.image();
    const fails = intercepted<ObjectStore>(store, async (method, [key]) => {
      if (method === 'put' && String(key).endsWith('/tags/b/current/link')) await at.pushed('b');
    });
    const tags = ['a', 'b'].map(parseTag);
    const immutable = (tag: string) => (tag === 'b' || tag === 'a' ? 'a rule' : undefined);
    const push = announcing(fails).manifests.put(at.name, parseReference(digest), bytes, type, {
      tags,
      immutable,
    });
    await assert.rejects(push, TagImmutable);
    await at.pushed('a');
    const deliveries = new Deliveries(store);
    assert.equal(await deliveries.look(), false, 'no intent is left');
    assert.deepEqual(deliveries.summaries, [`pushed manifest ${short(digest)} a`]);
  });

  it('has no event for a mount of what is not there', async () => {
    const [at, from] = [new Place(store), new Place(store)];
    const digest = await from.blob();
    assert.equal(await announcing(store).blobs.mount(at.name, digest, at.name), undefined);
    const deliveries = new Deliveries(store);
    assert.equal(await deliveries.look(), false, 'no intent is left');
    assert.deepEqual(deliveries.events, []);
  });

  it('is answered with 503 if its intent cannot be withdrawn', async () => {
    const at = new Place(store);
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: type,
        config: { mediaType: 'application/json', digest: `sha256:${'1'.repeat(64)}`, size: 1 },
        layers: [],
      }),
    );
    const down = intercepted<ObjectStore>(store, (method) => {
      if (method === 'delete') throw new StoreUnavailable('', 'no route to host');
    });
    const push = announcing(down).manifests.put(at.name, parseReference('v1'), bytes, type);
    await assert.rejects(push, StoreUnavailable);
    const deliveries = new Deliveries(store);
    await deliveries.lookLater();
    assert.deepEqual(deliveries.events, []);
  });

  it('keeps the event of the tags that were moved before another was refused', async () => {
    const at = new Place(store);
    await at.pushed('old');
    const { bytes, digest } = await at.image();
    const tags = ['new', 'old'].map(parseTag);
    const fails = intercepted<ObjectStore>(store, (method, [key]) => {
      if (method === 'put' && String(key).endsWith('/tags/old/current/link'))
        throw new StoreUnavailable('', 'no route to host');
    });
    await assert.rejects(
      announcing(fails).manifests.put(at.name, parseReference(digest), bytes, type, { tags }),
    );
    const deliveries = new Deliveries(store);
    await deliveries.lookLater();
    assert.deepEqual(deliveries.summaries, [`pushed manifest ${short(digest)} new`]);
  });
});

it('a restore of a repository has no event of a tag that another push creates first', async () => {
  const at = new Place(store);
  const digest = await at.pushed('v1', 'v2');
  await deleteRepository(store, at.name);
  await sleep(tick);
  const key = tagLink(at.name, parseTag('v1'));
  let isPushed = false;
  const between = intercepted<ObjectStore>(store, async (method, args) => {
    if (method !== 'put' || args[0] !== key || isPushed) return;
    isPushed = true;
    await at.pushed('v1');
  });
  const outbox = outboxOn(between);
  const { kept, tags } = await restoreRepository(between, at.name, {
    announce: (change) => outbox.announce(change, context),
  });
  assert.deepEqual([kept, tags], [1, 1]);
  const deliveries = new Deliveries(store);
  await deliveries.lookLater();
  const event = `pushed manifest ${short(digest)}`;
  assert.deepEqual(deliveries.summaries.toSorted(), [event, `${event} v2`]);
});

describe('the order of events', () => {
  it('is that of writes which began after the answer of others, whenever it is looked', async () => {
    for (let call = 0; ; call += 1) {
      const at = new Place(store);
      const [first, second] = [await at.image(), await at.image()];
      const deliveries = new Deliveries(store);
      const between = interrupted(store, call, async () => await deliveries.look());
      const registry = announcing(between.store);
      const expected = [
        `pushed manifest ${short(first.digest)} v1`,
        `pushed manifest ${short(second.digest)} v1`,
        'deleted tag v1',
        `deleted manifest ${short(first.digest)}`,
      ];
      for (const { bytes } of [first, second]) {
        await registry.manifests.put(at.name, parseReference('v1'), bytes, type);
        await sleep(tick);
      }
      await registry.manifests.delete(at.name, parseReference('v1'));
      await sleep(tick);
      await registry.manifests.delete(at.name, parseReference(first.digest));
      await deliveries.lookLater();
      assert.deepEqual(deliveries.summaries, expected, `looked before call ${call}`);
      if (!between.happened()) break;
    }
  });

  it('is kept for a blob that was deleted before it was looked', async () => {
    const at = new Place(store);
    const digest = await new Place(store).blob();
    const { blobs } = announcing(store);
    await blobs.mountFromAnywhere(at.name, digest);
    await sleep(tick);
    await blobs.delete(at.name, digest);
    const deliveries = new Deliveries(store);
    assert.equal(await deliveries.look(), true, 'the delete waits');
    assert.deepEqual(deliveries.events, []);
    await deliveries.lookLater();
    assert.deepEqual(deliveries.summaries, [
      `mounted blob ${short(digest)}`,
      `deleted blob ${short(digest)}`,
    ]);
  });

  it('needs no wait for writes that the same process has made', async () => {
    const at = new Place(store);
    const outbox = outboxOn(store);
    const announce: Announce = (change) => outbox.announce(change, context);
    const [first, second] = [await at.image(), await at.image()];
    for (const { bytes } of [first, second])
      await registryOn(store).manifests.put(at.name, parseReference('v1'), bytes, type, { announce });
    const deliveries = new Deliveries(store);
    assert.equal(await deliveries.look({ hasMade: (key) => outbox.hasMade(key) }), false);
    assert.deepEqual(
      deliveries.summaries,
      [first, second].map(({ digest }) => `pushed manifest ${short(digest)} v1`),
    );
  });
});
