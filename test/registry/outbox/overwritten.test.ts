import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseReference } from '../../../lib/protocol/references.ts';
import { rollback } from '../../../lib/registry/undo/rollback.ts';
import { parseTag } from '../../../lib/protocol/tags.ts';
import { StoreUnavailable, type ObjectStore } from '../../../lib/storage/store.ts';
import { intercepted } from '../interrupted.ts';
import { onStores } from '../on-stores.ts';
import { announcing, context, Deliveries, outboxOn } from './deliveries.ts';
import { Place, short, tick } from './writes.ts';

/*
 * What was written and written over before anyone looked, each time by another process, of which the one that delivers knows nothing.
 */

/** Announces a push of a new image. @returns its event */
async function push(store: ObjectStore, at: Place, ...tags: readonly string[]): Promise<string> {
  const { bytes, digest } = await at.image();
  await pushAgain(store, at, bytes, digest, ...tags);
  return ['pushed manifest', short(digest), ...tags].join(' ');
}

async function pushAgain(
  store: ObjectStore,
  at: Place,
  bytes: Buffer,
  digest: string,
  ...tags: readonly string[]
) {
  const { manifests } = announcing(store);
  await manifests.put(at.name, parseReference(digest), bytes, undefined, { tags: tags.map(parseTag) });
  await delay(tick);
}

onStores('writes that others have written over', (store, kind) => {
  // Elsewhere times are whole seconds: what is deleted in that second may have been written after its intent.
  const isExact = kind === 'a folder' || kind === 'MinIO';

  /** Asserts that all is told in order, without a wait. */
  async function assertTold(events: readonly string[]): Promise<void> {
    const deliveries = new Deliveries(store());
    assert.equal(await deliveries.look(), false, 'nothing is undecided');
    assert.deepEqual(
      isExact ? deliveries.summaries : deliveries.summaries.toSorted(),
      isExact ? events : events.toSorted(),
    );
  }

  it('are told at once: pushes of one tag', async () => {
    const at = new Place(store());
    const events = [];
    for (let i = 0; i < 3; i++) events.push(await push(store(), at, 'v1'));
    await assertTold(events);
  });

  it('are told at once: a push, and a rollback of its tag', async () => {
    const at = new Place(store());
    const before = await at.pushed('v1');
    const events = [await push(store(), at, 'v1')];
    const outbox = outboxOn(store());
    const announce = (change: Parameters<typeof outbox.announce>[0]) => outbox.announce(change, context);
    await rollback(store(), at.name, parseTag('v1'), { digest: before }, { announce });
    events.push(`pushed manifest ${short(before)} v1`);
    await delay(tick);
    events.push(await push(store(), at, 'v1'));
    await assertTold(events);
  });

  it('are told at once: pushes of manifests and tags that are deleted', async () => {
    const at = new Place(store());
    const { manifests } = announcing(store());
    const images = [await at.image(), await at.image()];
    for (const [i, { bytes, digest }] of images.entries())
      await pushAgain(store(), at, bytes, digest, ...(i === 0 ? [] : ['v1']));
    const events = images.map(({ digest }, i) =>
      ['pushed manifest', short(digest), ...(i === 0 ? [] : ['v1'])].join(' '),
    );
    if (!isExact) await delay(1100);
    for (const { digest } of images) {
      await manifests.delete(at.name, parseReference(digest));
      await delay(tick);
    }
    events.push(
      ...images.map(({ digest }, i) =>
        ['deleted manifest', short(digest), ...(i === 0 ? [] : ['v1'])].join(' '),
      ),
    );
    await assertTold(events);
  });

  it('are told at once: pushes of a manifest to several tags by one process', async () => {
    const at = new Place(store());
    const { bytes, digest } = await at.image();
    const { manifests } = announcing(store());
    const events = [];
    for (const tag of ['latest', 'v1', 'v1.0']) {
      await manifests.put(at.name, parseReference(tag), bytes, undefined);
      events.push(`pushed manifest ${short(digest)} ${tag}`);
      await delay(tick);
    }
    for (const tag of ['latest', 'v1']) events.push(await push(store(), at, tag));
    await assertTold(events);
  });

  it('hold up nothing while they were not answered', async () => {
    const at = new Place(store());
    const { bytes, digest } = await at.image();
    const isLast = { now: false };
    const dying = intercepted<ObjectStore>(store(), (method, [key]) => {
      if (method === 'put' && String(key).endsWith('/current/link')) isLast.now = true;
      else if (isLast.now) throw new StoreUnavailable('', 'killed');
    });
    await assert.rejects(pushAgain(dying, at, bytes, digest, 'v1'));
    await delay(tick);
    const next = await push(store(), at, 'v1');
    const deliveries = new Deliveries(store());
    assert.equal(await deliveries.look(), true, 'one is undecided');
    assert.deepEqual(deliveries.summaries, [next]);
    await deliveries.lookLater();
    assert.deepEqual(deliveries.summaries, [next, `pushed manifest ${short(digest)} v1`]);
  });

  it('hold up their own repository alone if their traces are gone', async () => {
    const [at, other] = [new Place(store()), new Place(store())];
    const { bytes, digest } = await at.image();
    const events = [];
    for (const tag of ['latest', 'v1']) {
      await pushAgain(store(), at, bytes, digest, tag);
      events.push(`pushed manifest ${short(digest)} ${tag}`);
    }
    events.push(await push(store(), at, 'latest'));
    const elsewhere = await push(store(), other, 'v1');
    const deliveries = new Deliveries(store());
    assert.equal(await deliveries.look(), true, 'some are left');
    if (isExact) assert.deepEqual(deliveries.summaries, [elsewhere]);
    else assert.ok(deliveries.summaries.includes(elsewhere));
    await deliveries.lookLater();
    assert.deepEqual(new Set(deliveries.summaries), new Set([elsewhere, ...events]));
    if (isExact) assert.deepEqual(deliveries.summaries, [elsewhere, ...events]);
  });
});
