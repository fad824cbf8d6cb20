import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Garbage } from '../../../lib/maintenance/collection/garbage.ts';
import { look } from '../../../lib/maintenance/collection/look.ts';
import type { Listing, ListOptions, ObjectInfo } from '../../../lib/storage/store.ts';
import { MemoryStore } from '../../registry/memory-store.ts';
import { FilledBucket, type Thing } from './filled-bucket.ts';

/** Counts its requests. */
class CountedStore extends MemoryStore {
  asked: string[] = [];
  /** As of a bucket with KMS: an ETag is not the MD5 of the bytes. */
  #salt = '';

  constructor(salt = '') {
    super();
    this.#salt = salt;
  }

  override async read(...args: Parameters<MemoryStore['read']>): ReturnType<MemoryStore['read']> {
    this.asked.push(`GET ${args[0].endsWith('/link') ? 'link' : kindOf(args[0])}`);
    return await super.read(...args);
  }

  override async list(options: ListOptions): Promise<Listing> {
    this.asked.push('LIST');
    const listing = await super.list(options);
    const salted = (object: ObjectInfo) => ({ ...object, etag: `${this.#salt}${object.etag}` });
    return { ...listing, objects: listing.objects.map(salted) };
  }

  override async put(...args: Parameters<MemoryStore['put']>): ReturnType<MemoryStore['put']> {
    this.asked.push(`PUT ${kindOf(args[0])}`);
    return await super.put(...args);
  }

  override async delete(keys: readonly string[]): Promise<void> {
    this.asked.push(`DELETE ${keys.map(kindOf).join()}`);
    await super.delete(keys);
  }

  /** The requests of a look, by kind. */
  async lookAgain(deleteUntagged = false): Promise<Record<string, number>> {
    this.asked = [];
    await look(this, { keeps: true, ...(deleteUntagged && { untagged: () => 0 }) }, new Garbage());
    return Object.fromEntries(
      [...Map.groupBy(this.asked, (one) => one)].map(([kind, asked]) => [kind, asked.length]),
    );
  }
}

function kindOf(key: string): string {
  return key.split('/')[3] ?? key;
}

/** Images of one layer, with their tags and configs in common. */
async function fill(bucket: FilledBucket, repository: string, images: number): Promise<Thing[]> {
  const layer = await bucket.layer(repository, 'layer');
  const all: Thing[] = [];
  for (let i = 0; i < images; i++) {
    const content = { schemaVersion: 2, config: { digest: layer.digest }, annotations: { number: `${i}` } };
    const image = await bucket.manifest(repository, `${repository} ${i}`, '', content);
    await bucket.tag(repository, `v${i}`, image);
    all.push(image);
  }
  return all;
}

describe('requests of a look', () => {
  it('are one for each manifest that is new, one for each pack of 2000, and one for each thousand keys', async () => {
    const store = new CountedStore();
    const bucket = new FilledBucket(store);
    await fill(bucket, 'a', 10);
    await fill(bucket, 'b', 2500);
    await fill(bucket, 'b/c', 10);
    // A link of a layer for each, and for each image those of its manifest and its tag, and its history.
    const lists = Math.ceil((3 * 2520 + 3) / 1000) + Math.ceil(2521 / 1000) + 1;
    assert.deepEqual(await store.lookAgain(), { 'GET blobs': 2520, LIST: lists, 'PUT gc': 2 });
    // Another look reads two packs: 10 requests at most for each thousand manifests, with all listings.
    for (const deleteUntagged of [false, true])
      assert.deepEqual(await store.lookAgain(deleteUntagged), { 'GET gc': 2, LIST: lists });
  });

  it('are one for a manifest that came, and one to write its pack', async () => {
    const store = new CountedStore();
    const bucket = new FilledBucket(store);
    await fill(bucket, 'a', 20);
    await store.lookAgain();
    await bucket.manifest('a', 'new', '', { layers: [] });
    assert.deepEqual(await store.lookAgain(), { 'GET blobs': 1, 'GET gc': 1, LIST: 3, 'PUT gc': 1 });
    assert.deepEqual(await store.lookAgain(), { 'GET gc': 1, LIST: 3 });
  });

  it('are one to delete the packs that have become part of others', async () => {
    const store = new CountedStore();
    const bucket = new FilledBucket(store);
    await fill(bucket, 'b', 3);
    await store.lookAgain();
    await fill(bucket, 'a', 3);
    assert.deepEqual(await store.lookAgain(), {
      'GET blobs': 3,
      'GET gc': 1,
      LIST: 3,
      'PUT gc': 1,
      'DELETE gc': 1,
    });
    assert.deepEqual(await store.lookAgain(), { 'GET gc': 1, LIST: 3 });
  });

  it('are one for each tag whose ETag says nothing, and none the next time', async () => {
    const store = new CountedStore('kms-');
    await fill(new FilledBucket(store), 'a', 20);
    assert.deepEqual(await store.lookAgain(), { 'GET blobs': 20, 'GET link': 20, LIST: 3, 'PUT gc': 1 });
    assert.deepEqual(await store.lookAgain(), { 'GET gc': 1, LIST: 3 });
  });

  it('read again what a damaged pack had, and write it', async () => {
    const store = new CountedStore();
    await fill(new FilledBucket(store), 'a', 20);
    await store.lookAgain();
    const [key = ''] = [...store.objects.keys()].filter((one) => kindOf(one) === 'gc');
    const pack = store.objects.get(key)?.bytes ?? Buffer.alloc(0);
    const changed = Buffer.from(pack);
    changed[200] = (changed[200] ?? 0) ^ 1;
    for (const damaged of [changed, pack.subarray(0, 100), Buffer.alloc(0)]) {
      await store.put(key, damaged);
      assert.deepEqual(await store.lookAgain(), { 'GET blobs': 20, 'GET gc': 1, LIST: 3, 'PUT gc': 1 });
      assert.deepEqual(store.objects.get(key)?.bytes, pack);
    }
  });

  it('write nothing where nothing is to be kept', async () => {
    const store = new CountedStore();
    await fill(new FilledBucket(store), 'a', 2);
    store.asked = [];
    await look(store, {}, new Garbage());
    assert.deepEqual(store.asked, ['LIST', 'LIST', 'GET blobs', 'GET blobs', 'LIST']);
  });
});
