import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseUploadKey, uploadData } from '../../lib/registry/layout.ts';
import { StoreUnavailable, type Listing, type ListOptions } from '../../lib/storage/store.ts';
import type { Bucket } from './purge-fixture.ts';
import {
  daysAgo,
  someBlob,
  begin,
  put,
  multipart,
  run,
  contents,
  nothing,
  kinds,
  store,
} from './purge-fixture.ts';

describe('a purge while uploads go on', () => {
  it('a purge keeps a session written after the listing, and the data of a new one', async () => {
    const written = await begin(1, 9);
    const missing = await begin(1, 9);
    await put(9, uploadData(missing.id, '0badcafe'));
    const before = await contents();
    const lagging = Object.assign(Object.create(store) as Bucket, {
      list: async (options: ListOptions): Promise<Listing> => {
        const page = await store.list(options);
        const objects = page.objects
          .filter(({ key }) => key !== missing.session)
          .map((one) => (one.key === written.session ? { ...one, lastModified: daysAgo(8) } : one));
        return { ...page, objects };
      },
      listMultiparts: (prefix: string) => store.listMultiparts(prefix),
      open: async (key: string) => await store.open(key),
      delete: async (keys: readonly string[]) => {
        await store.delete(keys);
      },
      abortMultipart: async (key: string, id: string) => {
        await store.abortMultipart(key, id);
      },
    });
    assert.deepEqual(await run(lagging), []);
    assert.deepEqual(await contents(), before);
  });

  it('a purge aborts recorded multipart uploads on a server that lists none', async () => {
    await begin(8);
    const silent = store;
    silent.listMultiparts = async function* () {
      // Says that there are none.
    };
    assert.deepEqual(kinds(await run(silent)), ['upload']);
    assert.deepEqual(await contents(), nothing);
  });

  it('two concurrent purges give the same result', async () => {
    store.pageSize = 10;
    for (let i = 0; i < 50; i++) {
      const { id } = await begin(8);
      await put(8, uploadData(id, '0badcafe'));
      await multipart(8, someBlob());
    }
    const living = await begin(1, 9);
    const swept = (await Promise.all([run(), run()])).flat();
    assert.ok(!kinds(swept).includes('failure'));
    assert.deepEqual(await contents(), { objects: [living.session], multiparts: [living.multipart] });
  });
});

describe('a purge of a store that fails', () => {
  const outage = (key: string) => new StoreUnavailable(key, 'out of order');

  for (const operation of ['open', 'abort', 'delete'])
    it(`a purge continues after a failure to ${operation}, reports it and removes the rest next time`, async () => {
      const stuck = await begin(8);
      await begin(8);
      await begin(8);
      store.fail = (asked, key) => {
        if (asked === operation && parseUploadKey(key)?.id === stuck.id) throw outage(key);
      };
      const swept = await run();
      const failures = swept.filter(({ kind }) => kind === 'failure');
      // Its multipart upload is found as well when its session cannot be read.
      assert.equal(failures.length, operation === 'open' ? 2 : 1);
      assert.ok(failures.every((one) => one.kind === 'failure' && parseUploadKey(one.key)?.id === stuck.id));
      assert.equal(swept.filter(({ kind }) => kind === 'upload').length, 2);
      assert.deepEqual((await contents()).objects, [stuck.session]);
      store.fail = () => undefined;
      assert.deepEqual(kinds(await run()), ['upload']);
      assert.deepEqual(await contents(), nothing);
    });

  it('a purge continues after a multipart upload that it cannot abort', async () => {
    const [stuck] = [await multipart(8, someBlob()), await multipart(8, someBlob())];
    store.fail = (asked, key) => {
      if (asked === 'abort' && key === stuck) throw outage(key);
    };
    assert.deepEqual(kinds(await run()), ['failure', 'multipart']);
    assert.deepEqual((await contents()).multiparts, [stuck]);
  });

  for (const operation of ['list', 'listMultiparts'])
    it(`ends with the error when ${operation} fails`, async () => {
      await begin(8);
      store.fail = (asked, key) => {
        if (asked === operation) throw outage(key);
      };
      await assert.rejects(run(), StoreUnavailable);
    });
});
