import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { S3Store } from '../../lib/storage/s3/store.ts';
import type { S3Options } from '../../lib/storage/s3/bucket.ts';
import type { Fence } from '../../lib/storage/store.ts';
import { onSwift, s3Kinds, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { fenceContract, type FencedPlace } from './contract-fences.ts';

const second = 1000;
const minute = 60 * second;

for (const kind of s3Kinds)
  describe(`fences on ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;
    let options: S3Options;
    const opened: S3Store[] = [];

    before(async () => {
      buckets = await kind.start();
      options = await newBucket(buckets);
    });
    after(async () => {
      for (const store of opened) store.close();
      await buckets.stop();
    });

    /** As if they had been opened before so much time that they have ended. */
    const earlier = (fence: Fence): Fence => ({
      opened: new Date(fence.opened.getTime() - 2 * minute - second),
    });
    const place: FencedPlace = {
      open: async () => {
        const store = new S3Store(options);
        opened.push(store);
        if (opened.length === 1) await store.check();
        return store;
      },
      end: (fence) => Promise.resolve(earlier(fence)),
      endDeletion: (fence) => Promise.resolve(earlier(fence)),
      ...(kind === onSwift && { refusal: /listings of Swift lag/, lag: 10 * second }),
    };
    fenceContract(() => place);
  });

async function newBucket(buckets: Buckets): Promise<S3Options> {
  const more = { REGISTRY_STORAGE_S3_ROOTDIRECTORY: '/some/root' };
  const { storage } = loadConfig('maintenance', (await buckets.newBucket(more)).settings);
  if (storage.kind !== 's3') assert.fail();
  return storage;
}
