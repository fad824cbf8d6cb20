import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';

import { FenceEnded, PreconditionFailed, type Fence, type ObjectStore } from '../../lib/storage/store.ts';
import { poll, rejects } from './place.ts';

/** A place whose store has fences. */
export interface FencedPlace {
  /** Opens it as another process does. What is opened is closed after the tests. */
  readonly open: () => Promise<FencedStore>;
  /** Ends a fence for commits, or as much time as it takes passes. @returns the fence by which changes are late then */
  readonly end: (fence: Fence) => Promise<Fence>;
  /** As {@link end}, of a deletion. */
  readonly endDeletion: (fence: Fence, record: string) => Promise<Fence>;
  /** Why it does not enforce them, if so. */
  readonly refusal?: RegExp;
  /** Milliseconds by which listings may lag. */
  readonly lag?: number;
}

export type FencedStore = ObjectStore & Required<Pick<ObjectStore, 'fencing'>>;

const before = Buffer.from('before');
const changed = Buffer.from('changed');
const metadata = { of: 'it', 'with-blanks': 'a  b c' };

/** What lib/storage/store.ts promises of fences. Each test works under keys of its own. */
export function fenceContract(place: () => FencedPlace): void {
  const fresh = () => `fences/${randomUUID()}/`;
  const newRecord = () => `deleting/${randomUUID()}/${randomUUID()}`;
  const contentOf = async (store: ObjectStore, key: string) => (await store.read(key, 100)).bytes.toString();
  const keysOf = async (store: ObjectStore, prefix: string) =>
    (await store.list({ prefix })).objects.map(({ key }) => key);

  describe('a fence for commits', () => {
    it('is opened with a list of the objects with a prefix', async () => {
      const { open, lag = 0 } = place();
      const [store, folder] = [await open(), fresh()];
      await store.put(`${folder}a/1`, before);
      await store.put(`${folder}a2`, before);
      await store.put(`${folder}b`, before);
      const keys = async () =>
        (await store.fencing.open(`${folder}a`)).objects.map(({ key }) => key.slice(folder.length));
      const expected = ['a/1', 'a2'];
      assert.deepEqual(await poll(keys, ({ length }) => length === expected.length, lag), expected);
      assert.deepEqual((await store.fencing.open(`${folder}none`)).objects, []);
    });

    it('lets changes land in time, as they do without', async () => {
      const [store, folder] = [await place().open(), fresh()];
      const { fence } = await store.fencing.open(folder);
      const first = await store.put(`${folder}a`, before, { metadata, onlyIfAbsent: true, fence });
      assert.deepEqual((await store.head(`${folder}a`, { metadata: true })).metadata, metadata);
      if (store.limits.honoursOnlyIfAbsent) {
        const again = store.put(`${folder}a`, changed, { onlyIfAbsent: true, fence });
        await rejects(again, PreconditionFailed, `${folder}a`);
      }
      if (store.limits.honoursIfMatch) {
        await store.put(`${folder}a`, changed, { ifMatch: first.etag, fence });
        assert.equal(await contentOf(store, `${folder}a`), 'changed');
        const again = store.put(`${folder}a`, before, { ifMatch: first.etag, fence });
        await rejects(again, PreconditionFailed, `${folder}a`);
      }
      for (const name of ["ü +&='()*!~%20?#[]@:;,$", 'empty', '\u{1f600}'])
        assert.equal(
          await contentOf(store, (await store.put(`${folder}${name}`, before, { fence })).key),
          'before',
        );
      await store.put(`${folder}empty`, Buffer.alloc(0), { fence });
      assert.equal(await contentOf(store, `${folder}empty`), '');
    });

    const changes: Readonly<
      Record<string, (store: ObjectStore, folder: string, fence: Fence) => Promise<unknown>>
    > = {
      'a new object': async (store, folder, fence) => await store.put(`${folder}c/new`, changed, { fence }),
      'an object in place of another': async (store, folder, fence) =>
        await store.put(`${folder}old`, changed, { metadata, fence }),
      'an object that must be new': async (store, folder, fence) =>
        await store.put(`${folder}c/new`, changed, { onlyIfAbsent: true, fence }),
      'objects in order': async (store, folder, fence) => {
        const objects = ['old', 'c/new'].map((name) => ({ key: folder + name, bytes: changed, fence }));
        if (store.putInOrder !== undefined) await store.putInOrder(objects);
        else for (const { key, bytes } of objects) await store.put(key, bytes, { fence });
      },
    };
    for (const [what, change] of Object.entries(changes))
      it(`has ended for ${what}, of which nothing is left, until another one is opened`, async () => {
        const { open, end, lag = 0 } = place();
        const [first, folder] = [await open(), fresh()];
        await first.put(`${folder}old`, before);
        const late = await end((await first.fencing.open(folder)).fence);
        const store = await open();
        await rejects(change(store, folder, late), FenceEnded);
        assert.equal(await contentOf(store, `${folder}old`), 'before');
        const found = await poll(
          async () => await keysOf(store, folder),
          ({ length }) => length === 1,
          lag,
        );
        assert.deepEqual(found, [`${folder}old`]);
        const { fence } = await store.fencing.open(folder);
        await change(store, folder, fence);
        const name = what === 'an object in place of another' ? 'old' : 'c/new';
        assert.equal(await contentOf(store, folder + name), 'changed');
      });
  });

  describe('a deletion', () => {
    it('has a record, and takes what it is told to', async () => {
      const { open, lag = 0 } = place();
      const [store, folder, record] = [await open(), fresh(), newRecord()];
      for (const name of ['a/b/c', 'a/b/d', 'e', "ü &<>'"])
        await store.put(folder + name, before, { metadata });
      const fence = await store.fencing.openDeletion({ key: record, bytes: Buffer.from('from a to b') });
      assert.equal(await contentOf(store, record), 'from a to b');
      const names = ['a/b/c', "ü &<>'", 'none', 'none/either'];
      await store.delete(
        names.map((name) => folder + name),
        { fence },
      );
      const expected = [`${folder}a/b/d`, `${folder}e`];
      const left = await poll(
        async () => await keysOf(store, folder),
        ({ length }) => length === 2,
        lag,
      );
      assert.deepEqual(left, expected);
      await store.delete(expected, { fence });
      const none = await poll(
        async () => await keysOf(store, folder),
        ({ length }) => length === 0,
        lag,
      );
      assert.deepEqual(none, []);
    });

    it('takes nothing once it has ended', async () => {
      const { open, endDeletion } = place();
      const [first, folder, record] = [await open(), fresh(), newRecord()];
      for (const name of ['a', 'b']) await first.put(folder + name, before);
      const fence = await first.fencing.openDeletion({ key: record, bytes: before });
      await first.delete([`${folder}a`], { fence });
      const late = await endDeletion(fence, record);
      const store = await open();
      await rejects(store.delete([`${folder}b`], { fence: late }), FenceEnded, `${folder}b`);
      assert.equal(await contentOf(store, `${folder}b`), 'before');
      assert.equal(await contentOf(store, record), 'before');
      const other = await store.fencing.openDeletion({ key: newRecord(), bytes: before });
      await store.delete([`${folder}b`], { fence: other });
      await assert.rejects(store.head(`${folder}b`), { name: 'ObjectNotFound' });
    });
  });

  it('says why fences are not enforced, if so, and leaves nothing', async () => {
    const { open, refusal } = place();
    const store = await open();
    const keys = await keysOf(store, '');
    const reason = await store.fencing.refusal();
    if (refusal === undefined) assert.equal(reason, undefined);
    else assert.match(reason ?? '', refusal);
    assert.deepEqual(await keysOf(store, ''), keys);
  });
}
