import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { openStore } from '../../lib/compose.ts';
import { Catalog } from '../../lib/registry/catalog.ts';
import { BucketSearch } from '../../lib/search/bucket-search.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { onSwift, proxied, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { assertPages, backendSuite, manyNames, modelPage } from './backend-suite.ts';
import { fillStore, onBuckets } from './bucket-ground.ts';

backendSuite('that is a bucket of S3', requires(...onSwift.needs), async () => await onBuckets(onSwift), 8);

describe('a bucket of S3 as the list of repositories', requires(...onSwift.needs), () => {
  let buckets: Buckets;
  let proxy: BucketProxy;

  before(async () => {
    buckets = await onSwift.start();
    proxy = await bucketProxy(buckets.endpoint);
  });

  after(async () => {
    await proxy.stop();
    await buckets.stop();
  });

  /** The list in a new bucket with these repositories, behind the proxy that counts. */
  async function listOf(names: readonly string[]): Promise<BucketSearch> {
    const storage = await buckets.newBucket();
    await fillStore(await storage.open(), names, 16);
    const { storage: behind } = loadConfig('maintenance', proxied(onSwift, storage, proxy));
    return new BucketSearch(new Catalog(await openStore(behind, { check: false })));
  }

  it('a page of common names costs 1 or 2 requests to S3', async () => {
    const kinds = [
      'team/app',
      'team/app-web',
      'team/app-db',
      'team/web',
      'tools/ci',
      'tools/ci/base',
      'library/nginx',
    ];
    const names = Array.from({ length: 20 }, (_, i) =>
      kinds.map((kind) => kind.replace('/', `${i}/`)),
    ).flat();
    const list = await listOf(names);
    let [requests, pages] = [0, 0];
    for (const n of [10, 25, 100, 1000])
      for (const last of ['', ...names.filter((_, i) => i % 17 === 3)]) {
        proxy.reset();
        assert.deepEqual(await list.list({ n, last }), modelPage(names, { n, last }));
        assert.ok(proxy.requests.length <= 2, `${proxy.requests.length} requests for n=${n} last=${last}`);
        requests += proxy.requests.length;
        pages += 1;
      }
    console.log(`${requests} requests for ${pages} pages`);
  });

  it('gives 3,000 repositories page by page, in order and each once', async () => {
    const names = manyNames(3000);
    const list = await listOf(names);
    proxy.reset();
    await assertPages(list, names);
    assert.ok(proxy.requests.length <= 12, `${proxy.requests.length} requests`);
  });
});
