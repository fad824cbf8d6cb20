/** Docker, and a bucket of which each fourth request fails. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { bucketProxy, type BucketProxy, type Fate } from '../servers/bucket-proxy.ts';
import { onScs, onSwift, proxied, type Buckets } from '../servers/buckets.ts';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { forgetAll, idOf } from './docker-images.ts';
import { tar } from './images.ts';

/** In rotation, so that every kind of request meets each fault sooner or later. */
const fates: readonly Fate[] = [
  { status: 503, code: 'SlowDown' },
  'drop-answer',
  'halve-body',
  { status: 500, code: 'InternalError' },
  'drop-request',
  'cut-body',
];

const every = 4;

for (const kind of [onSwift, onScs])
  describe(`docker, with a bucket of ${kind.name} that fails`, requires('dockerd', ...kind.needs), () => {
    let folder: Folder;
    let daemon: Dockerd;
    let buckets: Buckets;
    let proxy: BucketProxy;
    let registry: Stowage;
    let failed = 0;

    before(async () => {
      folder = await temporaryFolder('docker-faulty');
      daemon = await dockerd();
      buckets = await kind.start();
      proxy = await bucketProxy(buckets.endpoint);
      const settings = proxied(kind, await buckets.newBucket(), proxy);
      registry = await serve(settings, { REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' });
      proxy.intercept = (_, index) =>
        index % every === 0 ? (fates[failed++ % fates.length] ?? 'pass') : 'pass';
    });

    after(async () => {
      await registry.stop();
      await proxy.stop();
      await buckets.stop();
      await daemon.stop();
      folder.remove();
    });

    it('pushes images and pulls the same', async () => {
      const ids: string[] = [];
      const names = Array.from({ length: 5 }, (_, i) => `${registry.address}/app-${i}:v1`);
      for (const name of names) {
        const file = join(folder.path, 'layer.tar');
        await writeFile(file, tar([{ name: 'file', content: randomBytes(12_000_000) }]));
        await daemon.docker('import', file, name);
        await daemon.docker('push', name);
        ids.push(await idOf(daemon.docker, name));
      }
      await forgetAll(daemon.docker);
      for (const name of names) await daemon.docker('pull', name);
      const pulled = await Promise.all(names.map(async (name) => await idOf(daemon.docker, name)));
      assert.deepEqual(pulled, ids);
      assert.ok(failed > 50, `only ${failed} requests failed`);
    });
  });
