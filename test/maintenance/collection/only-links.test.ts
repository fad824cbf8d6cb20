import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { inParallel } from '../../../lib/concurrency/in-parallel.ts';
import { Collection } from '../../../lib/maintenance/collection/collection.ts';
import { Garbage } from '../../../lib/maintenance/collection/garbage.ts';
import { look } from '../../../lib/maintenance/collection/look.ts';
import { removeAbandoned } from '../../../lib/maintenance/collection/marks.ts';
import type { CollectionReport } from '../../../lib/maintenance/collection/report.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { folderStorage, type TestStorage } from '../../servers/storage.ts';
import { contentOf, pause, unitMs } from './collecting.ts';
import { fill, FilledBucket, type Thing } from './filled-bucket.ts';
import { Killed, killedAt, lacking } from './interrupted-collection.ts';

const dayMs = 24 * 3_600_000;
const root = 'docker/registry/v2';

/** A run without a delay, of what is a second old. */
function collection(store: ObjectStore, onlyLinks: boolean, delayMs = 0): Collection {
  const { fencing } = store;
  if (fencing === undefined) throw new Error('nothing can be deleted here');
  return new Collection(store, fencing, { delayMs, youngMs: 0, onlyLinks, untagged: () => 0 });
}

async function collect(store: ObjectStore, onlyLinks = true, delayMs = 0): Promise<CollectionReport> {
  const one = collection(store, onlyLinks, delayMs);
  while (await one.step());
  return one.report;
}

async function blobsIn(store: ObjectStore): Promise<string[]> {
  return (await contentOf(store)).filter((key) => key.startsWith(`${root}/blobs/`));
}

/** Links, without records of them. */
async function linksIn(store: ObjectStore): Promise<string[]> {
  return (await contentOf(store)).filter((key) => key.startsWith(`${root}/repositories/`));
}

async function recordsIn(store: ObjectStore): Promise<string[]> {
  return (await contentOf(store)).filter((key) => key.startsWith(`${root}/gc/links/`));
}

const layerKey = (name: string, { hex }: Thing) => `${root}/repositories/${name}/_layers/sha256/${hex}/link`;
const manifestKey = (name: string, { hex }: Thing) =>
  `${root}/repositories/${name}/_manifests/revisions/sha256/${hex}/link`;

describe('a collection of links alone', () => {
  const used: TestStorage[] = [];
  let store: ObjectStore;
  let bucket: FilledBucket;
  /** An image that stays, and an index with two that nothing reaches. */
  let base: Thing, kept: Thing, one: Thing, two: Thing, index: Thing;

  const open = async () => {
    const storage = await folderStorage();
    used.push(storage);
    return await storage.open();
  };

  beforeEach(async () => {
    store = await open();
    bucket = new FilledBucket(store);
    base = await bucket.layer('app', 'base');
    kept = await bucket.image('app', 'kept', [base]);
    one = await bucket.image('app', 'one', [base, await bucket.layer('app', 'one-layer')]);
    two = await bucket.image('app', 'two', [await bucket.layer('app', 'two-layer')]);
    index = await bucket.index('app', 'index', [one, two]);
    await bucket.tag('app', 'v1', kept, index);
    await bucket.layer('old', 'old-layer');
    await pause(unitMs);
  });

  after(() => {
    for (const storage of used) storage.remove();
  });

  it('deletes the links that a dry run shows, and no bytes', async () => {
    const filled = await open();
    await fill(filled);
    await pause(unitMs);
    const garbage = new Garbage();
    await look(filled, { youngMs: 0, untagged: () => 0 }, garbage);
    const blobs = await blobsIn(filled);
    const links = await linksIn(filled);
    const { deleted, linksWrittenAgain } = await collect(filled);
    assert.ok(garbage.freed.links > 10);
    assert.deepEqual(
      [deleted.manifests, deleted.links, deleted.blobs],
      [garbage.freed.manifests, garbage.freed.links, { number: 0, bytes: 0 }],
    );
    assert.equal(linksWrittenAgain, 0);
    assert.deepEqual(await blobsIn(filled), blobs);
    const left = new Set(await linksIn(filled));
    const gone = links.filter((key) => !left.has(key) && !key.includes('/_referrers/scanned'));
    assert.equal(gone.length, garbage.freed.links);
    // All that was to go has gone.
    const again = new Garbage();
    await look(filled, { youngMs: 0, untagged: () => 0 }, again);
    assert.equal(again.freed.links, 0);
  });

  it('killed at any call is completed by the next one, and no manifest lacks what it needs meanwhile', async () => {
    const stores = async () => {
      const copy = await open();
      for (const key of await contentOf(store)) await copy.put(key, (await store.read(key, 1e6)).bytes);
      await pause(unitMs);
      return copy;
    };
    const whole = await stores();
    const counted = killedAt(whole, Infinity);
    await collect(counted.store);
    const expected = [await blobsIn(whole), await linksIn(whole)];
    assert.deepEqual(await lacking(whole), []);
    assert.deepEqual(expected[0], await blobsIn(store));
    // The other test of kills has each call of what both kinds of collections do.
    const calls = Array.from({ length: Math.ceil(counted.calls() / 2) }, (_, i) => i * 2);
    await inParallel(calls, 24, async (at) => {
      const copy = await stores();
      try {
        await collect(killedAt(copy, at).store);
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
      assert.deepEqual(await lacking(copy), [], `killed at call ${at}`);
      // What went is on record, whenever that was.
      const before = new Set(await linksIn(copy));
      const gone = [index, one, two].map((manifest) => manifestKey('app', manifest));
      const records = await inParallel(await recordsIn(copy), 8, async (key) =>
        (await copy.read(key, 1e6)).bytes.toString(),
      );
      for (const key of gone) assert.ok(before.has(key) || records.join().includes(key), `${key} at ${at}`);
      const next = await collect(copy);
      assert.equal(next.linksWrittenAgain, 0);
      await removeAbandoned(copy, [], new Date(Date.now() + 8 * dayMs));
      assert.deepEqual([await blobsIn(copy), await linksIn(copy)], expected, `killed at call ${at}`);
    });
  });

  it('leaves a manifest whose link was written since its second look, with what it needs', async () => {
    const run = collection(store, true);
    await run.step();
    await run.step();
    assert.ok(
      (await contentOf(store)).some((key) => key.includes('/gc/plans/') && key.endsWith('/complete')),
    );
    await bucket.revisionLink('app', one);
    while (await run.step());
    const links = new Set(await linksIn(store));
    assert.ok(links.has(manifestKey('app', one)));
    assert.ok(!links.has(manifestKey('app', two)));
    assert.deepEqual(await lacking(store), []);
  });

  it('writes links again that a later manifest or tag needs, and no others', async () => {
    await collect(store);
    assert.ok((await recordsIn(store)).length > 0);
    // Pushes through another registry that had looked at the links before they went.
    const nested = await bucket.index('app', 'nested', [index]);
    await bucket.tag('app', 'nested', nested);
    // Somebody deletes the link of a layer on purpose: it is not on record.
    await store.delete([layerKey('app', base)]);
    const { linksWrittenAgain } = await collect(store);
    assert.deepEqual(
      await lacking(store),
      [kept, one].map(({ digest }) => `app ${digest} lacks the link of ${base.digest}`).sort(),
    );
    // The index, two images, and their two layers and configs.
    assert.equal(linksWrittenAgain, 7);
    assert.ok(!(await linksIn(store)).includes(layerKey('old', bucket.some('old-layer'))));
    // What is deleted on purpose later stays deleted.
    await store.delete([manifestKey('app', two)]);
    assert.equal((await collect(store)).linksWrittenAgain, 0);
  });

  it('writes the link of a manifest again that a tag points at', async () => {
    await collect(store);
    await bucket.tag('app', 'two', two);
    assert.equal((await collect(store)).linksWrittenAgain, 3);
    assert.ok((await linksIn(store)).includes(manifestKey('app', two)));
  });

  it('removes a record after a month', async () => {
    await collect(store);
    const [record = ''] = await recordsIn(store);
    const later = new Proxy(store, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (property !== 'list') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        return async (...args: Parameters<ObjectStore['list']>) => {
          const listing = await target.list(...args);
          const old = { lastModified: new Date(Date.now() - 31 * dayMs) };
          return {
            ...listing,
            objects: listing.objects.map((object) =>
              object.key === record ? { ...object, ...old } : object,
            ),
          };
        };
      },
    });
    await collect(later);
    assert.ok(!(await recordsIn(store)).includes(record));
  });

  it('before --exclusive: its links are written again first, and no bytes go that an image needs', async () => {
    await collect(store);
    const nested = await bucket.index('app', 'nested', [index]);
    await bucket.tag('app', 'nested', nested);
    await pause(unitMs);
    const { linksWrittenAgain, deleted } = await collect(store, false);
    assert.equal(linksWrittenAgain, 7);
    assert.deepEqual(await lacking(store), []);
    // The layer in the other repository.
    assert.equal(deleted.blobs.number, 1);
    assert.deepEqual(await recordsIn(store), []);
  });

  it('gives up marks of the other kind, and plans under them', async () => {
    const blobs = await blobsIn(store);
    // The plan of a run that deletes bytes is complete when distribution comes back.
    const exclusive = collection(store, false);
    await exclusive.step();
    await exclusive.step();
    const first = exclusive.report.condemned?.id ?? '';
    await bucket.tag('app', 'used', index);
    const links = await collect(store, true);
    assert.deepEqual(links.givenUp, [first]);
    assert.deepEqual(await blobsIn(store), blobs);
    assert.deepEqual(await lacking(store), []);
    await exclusive.step();
    assert.deepEqual(await blobsIn(store), blobs);
    // And the other way round, while a mark of links waits.
    await bucket.layer('app', 'late');
    await pause(unitMs);
    const waiting = await collect(store, true, dayMs);
    assert.deepEqual(
      waiting.waiting.map(({ onlyLinks }) => onlyLinks),
      [true],
    );
    const last = await collect(store, false);
    assert.deepEqual(last.givenUp, [waiting.condemned?.id]);
    assert.equal(last.deleted.blobs.number, 2);
    assert.deepEqual(
      (await contentOf(store)).filter((key) => key.includes('/gc/')),
      [],
    );
  });
});
