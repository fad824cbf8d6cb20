/** Distribution takes each folder with a folder `_layers` or `_manifests` for a repository, also with nothing in it. */
import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { folderStorage, type TestStorage } from '../../servers/storage.ts';
import { collectAll, pause, unitMs } from './collecting.ts';
import { FilledBucket } from './filled-bucket.ts';

describe('of a repository that is emptied nothing is left', () => {
  let storage: TestStorage;
  let store: ObjectStore;
  let bucket: FilledBucket;

  const repositories = () =>
    join(
      storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'] ?? '',
      'docker/registry/v2/repositories',
    );

  beforeEach(async () => {
    storage = await folderStorage();
    store = await storage.open();
    bucket = new FilledBucket(store);
    await bucket.tag('kept', 'v1', await bucket.image('kept', 'kept', []));
  });
  afterEach(() => {
    storage.remove();
  });

  it('not even folders that distribution has left', async () => {
    for (const name of ['a', 'b', 'c']) await bucket.layer('team/app', name);
    await bucket.image('team/app', 'image', []);
    await bucket.put('repositories/team/app/_referrers/scanned', '{}');
    for (const folder of ['_uploads', '_manifests/tags'])
      await mkdir(join(repositories(), 'team/app', folder), { recursive: true });
    await pause(unitMs);
    const [report] = await collectAll(store);
    assert.equal(report?.deleted.manifests, 1);
    assert.deepEqual(await readdir(repositories()), ['kept']);
  });

  it('nor what a query for referrers leaves that ends later', async () => {
    await bucket.put('repositories/team/app/_referrers/scanned', '{}');
    await bucket.put('repositories/kept/_referrers/scanned', '{}');
    await pause(unitMs);
    await collectAll(store);
    assert.deepEqual(await readdir(repositories()), ['kept']);
    assert.deepEqual(await readdir(join(repositories(), 'kept/_referrers')), ['scanned']);
  });
});
