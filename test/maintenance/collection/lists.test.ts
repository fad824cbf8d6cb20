import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inParallel } from '../../../lib/concurrency/in-parallel.ts';
import { Condemnation } from '../../../lib/maintenance/collection/condemn.ts';
import { ListedCondemned } from '../../../lib/maintenance/collection/listed-condemned.ts';
import { ListedRepository } from '../../../lib/maintenance/collection/listed-repository.ts';
import { owns, type SeenRepository } from '../../../lib/maintenance/collection/look.ts';
import { digestFrom, type Digest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../../lib/protocol/names.ts';
import { CondemnedLists } from '../../../lib/registry/collection/condemned-lists.ts';
import { maxListSize, parseCondemnedLine, parseMark } from '../../../lib/registry/collection/mark.ts';
import { blobData, layerLink, markKey, markList } from '../../../lib/registry/layout.ts';
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

/** Condemns the links of digests, from the first to the last, in repositories with long names. */
async function condemnLinks(kind: 'layer' | 'revision', digests: readonly Digest[], repositories: number) {
  const store = new MemoryStore();
  const condemnation = new Condemnation(store, new Date());
  const owners = new Map<Digest, number[]>(digests.map((digest) => [digest, []]));
  for (let id = 0; id < repositories; id++) {
    const name = longName(id);
    const listed = new ListedRepository(name);
    for (const digest of digests)
      listed.add({ kind, digest, name }, { key: '', size: 1, etag: '', lastModified: new Date(0) }, false);
    const named = { damage: [], manifests: new Map(), tags: new Map() };
    const seen = { id, listed, named, youngManifests: 0 } as unknown as SeenRepository;
    await condemnation.repository(seen, (digest, owner) => owners.get(digest)?.push(owner));
  }
  for (const digest of digests)
    await condemnation.blob({
      digest,
      size: 1,
      isYoung: true,
      owners: (owners.get(digest) ?? []).map((id) => ({ id, flags: owns.other })),
    });
  const mark = await condemnation.finish();
  assert.ok(mark !== undefined);
  return { store, mark };
}

function longName(id: number): RepositoryName {
  return parseRepositoryName(`${id}/`.padEnd(255, 'name'));
}

/** The digests of each list. */
async function listsIn(store: ObjectStore, id: string): Promise<Map<string, readonly Digest[]>> {
  const mark = parseMark(id, (await store.read(markKey(id), maxListSize)).bytes);
  const lists = new Map<string, readonly Digest[]>();
  for (const list of mark?.lists.keys() ?? []) {
    const { bytes } = await store.read(markList(id, list), maxListSize);
    const lines = bytes.toString().trimEnd().split('\n');
    lists.set(
      list,
      lines.map((line) => parseCondemnedLine(line)?.digest ?? assert.fail(line)),
    );
  }
  return lists;
}

/** Digests whose hashes somebody has made begin alike, and others among and after them. */
const crowded: readonly Digest[] = [
  ...[digestAt(0.1), digestAt(0.67)],
  ...Array.from({ length: 400 }, (_, i) =>
    digestFrom('sha256', `abcd${i.toString(16).padStart(5, '0')}`.padEnd(64, '7')),
  ),
  ...[digestFrom('sha256', 'abce'.padEnd(64, '0')), digestAt(0.68), digestAt(0.9)],
  ...[digestFrom('sha512', 'ab'.padEnd(128, '0')), digestFrom('sha512', 'ac'.padEnd(128, '0'))],
];

describe('the lists of a mark', () => {
  it('are one where it is short, and as many as it takes where it is long', async () => {
    const few = await condemnLinks('layer', crowded.slice(0, 20), 100);
    assert.deepEqual([...(await listsIn(few.store, few.mark.id)).keys()], ['sha256:']);
    const { store, mark } = await condemnLinks('revision', crowded, 100);
    assert.equal(mark.digests, crowded.length);
    const lists = await listsIn(store, mark.id);
    assert.deepEqual([...lists.values()].flat(), crowded);
    for (const [list, digests] of lists) for (const digest of digests) assert.ok(digest.startsWith(list));
    const names = [...lists.keys()];
    for (const name of names)
      assert.deepEqual(
        names.filter((other) => other.startsWith(name)),
        [name],
      );
    assert.ok(names.length > 5 && names.length < 40, names.join(' '));
    const sizes = [...store.objects.values()]
      .filter(({ key }) => key.includes('/lists/'))
      .map(({ size }) => size);
    assert.ok(Math.max(...sizes) <= maxListSize);
  });

  it('say what is condemned, to writers and to collectors', async () => {
    const { store, mark } = await condemnLinks('layer', crowded, 100);
    const written = new CondemnedLists(store);
    for (const digest of crowded)
      assert.deepEqual((await written.find(mark.id, digest))?.at(-1), longName(99), digest);
    const listed = (await ListedCondemned.open(store, mark.id)) as ListedCondemned;
    for (const digest of crowded) assert.equal((await listed.find(digest))?.length, 100);
    for (const absent of [digestAt(0.05), digestAt(0.675), digestFrom('sha256', 'abcdf'.padEnd(64, '0'))]) {
      assert.equal(await written.find(mark.id, absent), undefined);
      assert.equal(await listed.find(absent), undefined);
    }
  });

  it('are as many as it takes for a digest that is condemned in very many repositories', async () => {
    const [before, digest, after] = [digestAt(0.49999), digestAt(0.5), digestAt(0.50001)];
    const repositories = 20_000;
    const { store, mark } = await condemnLinks('revision', [before, digest, after], repositories);
    const names = [...(await listsIn(store, mark.id)).keys()];
    assert.deepEqual(
      names.filter((name) => name.startsWith(digest)),
      [digest, `${digest}+1`, `${digest}+2`],
    );
    const sizes = [...store.objects.values()].filter(({ key }) => key.includes('/lists/'));
    assert.ok(Math.max(...sizes.map(({ size }) => size)) <= maxListSize);
    const written = new CondemnedLists(store);
    const listed = (await ListedCondemned.open(store, mark.id)) as ListedCondemned;
    for (const one of [before, digest, after])
      for (const found of [await written.find(mark.id, one), await listed.find(one)]) {
        assert.equal(new Set(found).size, repositories);
        assert.ok(found?.includes(longName(0)) && found.includes(longName(repositories - 1)));
      }
    assert.equal(await written.find(mark.id, digestAt(0.500001)), undefined);
    assert.equal(await listed.find(digestAt(0.500001)), undefined);
    await store.delete([markList(mark.id, `${digest}+2`)]);
    assert.equal(await new CondemnedLists(store).find(mark.id, digest), '*');
  });

  it('lead to the deletion of all that is in them', async () => {
    const storage = await folderStorage();
    try {
      const store = await storage.open();
      const digests = Array.from({ length: 1000 }, (_, i) => digestAt(i / 1000));
      await putLayers(store, digests);
      const bucket = new FilledBucket(store);
      const kept = await bucket.layer('app', 'kept');
      await bucket.tag('app', 'v1', await bucket.image('app', 'image', [kept]));
      const before = (await contentOf(store)).length;
      await pause(unitMs);
      const id = await condemn(store);
      const { deleted } = await complete(store, id);
      assert.deepEqual([deleted.blobs.number, deleted.links], [digests.length, digests.length]);
      assert.equal((await contentOf(store)).length, before - 2 * digests.length);
    } finally {
      storage.remove();
    }
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
