import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { inParallel } from '../../lib/concurrency/in-parallel.ts';
import { uploadData, uploadsPrefix } from '../../lib/registry/layout.ts';
import { purgeUploads, type PurgeResult } from '../../lib/registry/uploads/purge.ts';
import type { S3Store } from '../../lib/storage/s3/store.ts';
import { onMinio, onVersitygw, s3Kinds, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { openS3 } from '../servers/storage.ts';
import { poll } from '../storage/place.ts';

const olderThan = new Date(Date.now() + 24 * 60 * 60 * 1000);

for (const kind of s3Kinds)
  describe(`a purge on ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;
    let store: S3Store;

    before(async () => {
      buckets = await kind.start();
      store = await openS3((await buckets.newBucket({ REGISTRY_STORAGE_S3_ROOTDIRECTORY: 'root' })).settings);
    });

    after(async () => {
      store.close();
      await buckets.stop();
    });

    const run = async (dryRun = false): Promise<PurgeResult[]> =>
      await Array.fromAsync(purgeUploads(store, { olderThan, dryRun }));
    const keysUnder = async (prefix: string): Promise<string[]> =>
      await Array.fromAsync(store.listMultiparts(prefix), ({ key }) => key);

    it('a purge finds multipart uploads without a session, or reports that it cannot', async () => {
      const key = uploadData(randomUUID(), 'orphan');
      await store.createMultipart(key);
      await poll(
        async () => await keysUnder(uploadsPrefix),
        (keys) => keys.length === 1,
        10_000,
      );
      const told = kind === onMinio ? [['unlisted', undefined]] : [];
      for (const dryRun of [true, false])
        assert.deepEqual(
          (await run(dryRun)).map((swept) => [swept.kind, 'key' in swept ? swept.key : undefined]),
          [['multipart', key], ...told],
        );
      await poll(
        async () => await keysUnder(uploadsPrefix),
        (keys) => keys.length === 0,
        10_000,
      );
      assert.deepEqual(
        (await run()).map(({ kind: swept }) => swept),
        told.map(([swept]) => swept),
      );
    });
  });

describe('multipart uploads on versitygw', requires(...onVersitygw.needs), () => {
  it('a purge finds more multipart uploads than fit one page on versitygw', async () => {
    const buckets = await onVersitygw.start();
    try {
      const store = await openS3((await buckets.newBucket()).settings);
      const keys = Array.from({ length: 1001 }, (_, i) => `100%/${String(i).padStart(4, '0')}`);
      await inParallel(keys, 32, async (key) => await store.createMultipart(key));
      const found = await Array.fromAsync(store.listMultiparts('100%/'), ({ key }) => key);
      assert.deepEqual(found.sort(), keys);
      store.close();
    } finally {
      await buckets.stop();
    }
  });
});
