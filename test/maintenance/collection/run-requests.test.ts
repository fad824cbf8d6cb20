import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { inParallel } from '../../../lib/concurrency/in-parallel.ts';
import type { BucketRequest } from '../../servers/bucket-proxy.ts';
import { onMinio } from '../../servers/buckets.ts';
import { requires } from '../../servers/requires.ts';
import type { TestStorage } from '../../servers/storage.ts';
import { condemn, pause, shortFenceMs, unitMs } from './collecting.ts';
import { FilledBucket } from './filled-bucket.ts';
import { WatchedRuns } from './watched-runs.ts';

type Counts = Readonly<Record<string, number>>;

function counted(requests: readonly BucketRequest[]): Counts {
  const kinds = Map.groupBy(requests.map(kindOf), (kind) => kind);
  return Object.fromEntries([...kinds].map(([kind, all]) => [kind, all.length]));
}

const methods: Readonly<Record<string, string>> = {
  ListObjectsV2: 'LIST',
  GetObject: 'GET',
  PutObject: 'PUT',
  HeadObject: 'HEAD',
  DeleteObjects: 'DELETE',
};

/** A request, and the folder it is about. */
function kindOf({ operation, key, query }: BucketRequest): string {
  const method = methods[operation] ?? operation;
  if (method === 'DELETE') return query.has('X-Amz-Expires') ? 'DELETE in time' : 'DELETE';
  const [, , , area = '', folder = ''] = (key === '' ? (query.get('prefix') ?? '') : key).split('/');
  const about = area === 'gc' ? folder : area;
  return about === '' ? 'bucket' : `${method} ${about}`;
}

function sum(...all: readonly Counts[]): Counts {
  const total: Record<string, number> = {};
  for (const counts of all)
    for (const [kind, count] of Object.entries(counts)) total[kind] = (total[kind] ?? 0) + count;
  return total;
}

/** What each run asks: whether the bucket is as it must be, whether another run is active, for marks, for links on record, and for what is abandoned. */
const always = {
  bucket: 3,
  'PUT uploads': 3,
  'LIST uploads': 1,
  'DELETE in time': 2,
  DELETE: 2,
  'PUT running': 1,
  'LIST marks': 2,
  'LIST retired': 1,
  'LIST lists': 1,
  'LIST plans': 1,
  'LIST rescued': 1,
  'LIST deleting': 1,
  'LIST links': 1,
};

/** A look at less than a thousand keys, of manifests in one pack that has not changed. */
const look = { 'LIST repositories': 1, 'LIST references': 1, 'GET references': 1, 'LIST blobs': 1 };

const condemning = { 'PUT lists': 1, 'PUT marks': 1, 'LIST marks': 1, 'HEAD retired': 1 };

/** @param batches of deletions in all parts of the plan, and how many of them have links of manifests, whose bytes go later */
function deleting(parts: number, batches: number, ofManifests: number): Counts {
  const part = {
    'LIST marks': 1,
    'HEAD retired': 1,
    'LIST plans': 1,
    'PUT plans': 1,
    'GET plans': 2,
    DELETE: 1,
  };
  // A listing from one key on takes three requests of MinIO, and one of S3.
  const batch = {
    'PUT deleting': 1,
    'LIST rescued': 3,
    'HEAD marks': 1,
    'HEAD retired': 1,
    'DELETE in time': 1,
    DELETE: 1,
  };
  const bytes = { 'DELETE in time': batches - ofManifests };
  const mark = {
    'LIST marks': 3,
    'HEAD retired': 3,
    'LIST plans': 3,
    'GET marks': 1,
    'GET lists': 1,
    'PUT plans': 1,
    'GET plans': 1,
    'PUT retired': 1,
    'LIST deleting': 2,
    'LIST lists': 1,
    'LIST rescued': 1,
    DELETE: 4,
  };
  return sum(look, mark, bytes, ...Array<Counts>(parts).fill(part), ...Array<Counts>(batches).fill(batch));
}

describe('the requests of stowage gc', { ...requires('minio'), concurrency: 4 }, () => {
  let runs: WatchedRuns;

  before(async () => {
    runs = await WatchedRuns.start(onMinio);
  });

  after(async () => {
    await runs.stop();
  });

  const filled = async () => {
    const storage = await runs.newBucket();
    const bucket = new FilledBucket(await storage.open());
    await bucket.tag('app', 'v1', await bucket.image('app', 'kept', [await bucket.layer('app', 'layer')]));
    return { storage, bucket };
  };

  const requestsOf = async (storage: TestStorage) => {
    const { code, errors, requests } = await runs.run(storage);
    assert.equal(code, 0, errors);
    return counted(requests);
  };

  it('are those of a look and a few, where nothing is to be done', async () => {
    const { storage } = await filled();
    await requestsOf(storage);
    assert.deepEqual(await requestsOf(storage), sum(always, look));
    const few = Object.values(always).reduce((total, one) => total + one);
    assert.equal(few, 20);
  });

  it('are four more to condemn', async () => {
    const { storage, bucket } = await filled();
    await requestsOf(storage);
    await bucket.layer('app', 'unnamed');
    await pause(unitMs);
    assert.deepEqual(await requestsOf(storage), sum(always, look, condemning));
  });

  for (const [what, layers, images, expected] of [
    ['250 blobs: those of another look and of a mark, and some for each hundred', 250, 0, deleting(1, 3, 0)],
    [
      '20 manifests with 40 blobs: the same for links of manifests, and for the rest',
      20,
      20,
      deleting(2, 2, 1),
    ],
  ] as const)
    it(`are, to delete ${what}`, async () => {
      const { storage, bucket } = await filled();
      const numbers = Array.from({ length: layers }, (_, i) => i);
      await inParallel(numbers, 16, async (i) => {
        const layer = await bucket.layer('app', `layer ${i}`);
        if (i < images) await bucket.image('app', `image ${i}`, [layer]);
      });
      await pause(unitMs);
      await condemn(await storage.open());
      await pause(shortFenceMs + unitMs);
      // What manifests name is written again without those that are gone.
      const packs = images > 0 ? { 'PUT references': 1 } : {};
      assert.deepEqual(await requestsOf(storage), sum(always, look, expected, packs));
    });
});
