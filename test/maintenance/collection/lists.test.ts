import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inParallel } from '../../../lib/concurrency/in-parallel.ts';
import { Condemnation } from '../../../lib/maintenance/collection/condemn.ts';
import { ListedRepository } from '../../../lib/maintenance/collection/listed-repository.ts';
import { owns, type SeenRepository } from '../../../lib/maintenance/collection/look.ts';
import { digestFrom, parseDigest, type Digest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import { Collections } from '../../../lib/registry/collection/collections.ts';
import { maxListSize, parseMark } from '../../../lib/registry/collection/mark.ts';
import { blobData, layerLink, markKey } from '../../../lib/registry/layout.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { MemoryStore } from '../../registry/memory-store.ts';
import { folderStorage } from '../../servers/storage.ts';
import { collectAll, complete, condemn, contentOf, onCollectedStores, pause, unitMs } from './collecting.ts';
import { FilledBucket } from './filled-bucket.ts';

const app = parseRepositoryName('app');

/** Puts layers that nothing names. Their bytes do not matter. */
async function putLayers(store: ObjectStore, digests: readonly Digest[]): Promise<void> {
  await inParallel(digests, 32, async (digest) => {
    await store.put(layerLink(app, digest), Buffer.from(digest));
    await store.put(blobData(digest), Buffer.from('x'));
  });
}

/** A digest at a place between 0 and 1 among all. */
function digestAt(place: number): Digest {
  const hex = Math.floor(place * 16 ** 12)
    .toString(16)
    .padStart(12, '0');
  return digestFrom('sha256', hex.padEnd(64, '7'));
}

describe('the lists of a mark', () => {
  for (const [digits, blobs] of [
    [0, 10_000],
    [1, 100_000],
    [2, 2_000_000],
    [3, 10_000_000],
  ] as const)
    it(`are divided by ${digits} digits where ${blobs} blobs are estimated, and all are found in them`, async () => {
      const storage = await folderStorage();
      try {
        const store = await storage.open();
        // The estimate is that all hashes are as dense as the first thousand.
        const dense = Array.from({ length: 1000 }, (_, i) => digestAt((i + 1) / blobs));
        const spread = Array.from({ length: 40 }, (_, i) => digestAt(0.2 + i / 50));
        const digests = [...dense, ...spread];
        await putLayers(store, digests);
        const bucket = new FilledBucket(store);
        const kept = await bucket.layer('app', 'kept');
        await bucket.tag('app', 'v1', await bucket.image('app', 'image', [kept]));
        const before = (await contentOf(store)).length;
        await pause(unitMs);
        const id = await condemn(store);
        const mark = parseMark(id, (await store.read(markKey(id), maxListSize)).bytes);
        assert.equal(mark?.digits, digits);
        assert.ok(digits === 0 || mark.lists.size > 10);
        const collections = new Collections(store);
        const view = await collections.view();
        for (const digest of digests) assert.ok(await collections.isCondemned(view, digest, [app]), digest);
        assert.equal(await collections.isCondemned(view, parseDigest(kept.digest), [app]), false);
        assert.equal(await collections.isCondemned(view, digestAt(0.21), [app]), false);
        const { deleted } = await complete(store, id);
        assert.deepEqual([deleted.blobs.number, deleted.links], [digests.length, digests.length]);
        assert.equal((await contentOf(store)).length, before - 2 * digests.length);
      } finally {
        storage.remove();
      }
    });

  /** Condemns the links of digests, whose hashes somebody has made begin alike, in repositories with long names. */
  const condemnLinks = async (kind: 'layer' | 'revision', digests: number, repositories: number) => {
    const store = new MemoryStore();
    const condemnation = new Condemnation(store, new Date());
    const all = Array.from({ length: digests }, (_, i) =>
      digestFrom('sha256', `abc${i.toString(16).padStart(61, '0')}`),
    );
    const owners = new Map<Digest, number[]>(all.map((digest) => [digest, []]));
    for (let id = 0; id < repositories; id++) {
      const name = parseRepositoryName(`${id}/`.padEnd(255, 'name'));
      const listed = new ListedRepository(name);
      for (const digest of all)
        listed.add({ kind, digest, name }, { key: '', size: 1, etag: '', lastModified: new Date(0) }, false);
      const named = { damage: [], manifests: new Map(), tags: new Map() };
      const seen = { id, listed, named, youngManifests: 0 } as unknown as SeenRepository;
      await condemnation.repository(seen, (digest, owner) => owners.get(digest)?.push(owner));
    }
    for (const digest of all)
      await condemnation.blob({
        digest,
        size: 1,
        isYoung: true,
        owners: (owners.get(digest) ?? []).map((id) => ({ id, flags: owns.other })),
      });
    return { store, mark: await condemnation.finish() };
  };

  it('leave blobs for which they have no room to the next collection', async () => {
    const [digests, repositories] = [260, 100];
    const { store, mark } = await condemnLinks('layer', digests, repositories);
    assert.ok(mark !== undefined);
    const sizes = [...store.objects.values()]
      .filter(({ key }) => key.includes('/lists/'))
      .map(({ size }) => size);
    const line = `sha256:${'0'.repeat(64)}`.length + repositories * 256 + 1;
    // A quarter is for manifests, without which what they need must not go.
    const fitting = Math.floor((maxListSize * 3) / 4 / line);
    assert.deepEqual(mark, { id: mark.id, digests: fitting, left: digests - fitting });
    assert.deepEqual(sizes, [fitting * line]);
  });

  it('have more room for manifests, and beyond that the collection fails', async () => {
    const { mark } = await condemnLinks('revision', 260, 100);
    assert.deepEqual([mark?.digests, mark?.left], [260, 0]);
    await assert.rejects(
      condemnLinks('revision', 340, 100),
      /too much is to be deleted whose digests begin with a: more than a list can hold/,
    );
  });
});

onCollectedStores('a collection of more than a thousand keys', (open) => {
  it('of one digest takes all of them, in one repository or in many', async () => {
    const store = await open();
    const bucket = new FilledBucket(store);
    const image = await bucket.image('app', 'image', []);
    const shared = bucket.some('shared');
    await bucket.bytes(shared);
    await inParallel(
      Array.from({ length: 1100 }, (_, i) => i),
      32,
      async (i) => {
        await bucket.history('app', `v${i}`, image);
        await bucket.layerLink(`team/app-${i}`, shared);
      },
    );
    await pause(unitMs);
    const reports = await collectAll(store);
    const deleted = reports.map(({ deleted }) => deleted).find(({ links }) => links > 0);
    assert.deepEqual([deleted?.links, deleted?.blobs.number], [1100 + 2 + 1100, 3]);
    assert.deepEqual(await contentOf(store), []);
  });
});
