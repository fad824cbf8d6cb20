import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Garbage } from '../../lib/maintenance/collection/garbage.ts';
import { look, type LookOptions } from '../../lib/maintenance/collection/look.ts';
import { untaggedAfter } from '../../lib/retention/untagged.ts';
import { pullRecord } from '../../lib/registry/layout.ts';
import { removeObjects } from '../../lib/registry/remove-objects.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { about, FilledBucket, type Thing } from '../maintenance/collection/filled-bucket.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { retentionRules } from './rules.ts';

const name = parseRepositoryName('team/app');
const dayMs = 24 * 3_600_000;

/** At any day, by the clock of which things are dated. Counts its requests about records of deletes. */
class DatedStore extends MemoryStore {
  day = 0;
  readonly asked = { lists: 0, reads: 0 };

  constructor() {
    super({ now: () => new Date(Date.now() + this.day * dayMs) });
  }

  get clockOffsetMs(): number {
    return this.day * dayMs;
  }

  override async list(...args: Parameters<MemoryStore['list']>): ReturnType<MemoryStore['list']> {
    if (args[0].prefix?.includes('/deleted/')) this.asked.lists += 1;
    return await super.list(...args);
  }

  override async read(...args: Parameters<MemoryStore['read']>): ReturnType<MemoryStore['read']> {
    if (args[0].includes('/deleted/')) this.asked.reads += 1;
    return await super.read(...args);
  }
}

describe('untaggedAfter counts from when a manifest lost its last tag', () => {
  let store: DatedStore;
  let bucket: FilledBucket;
  let registry: ReturnType<typeof createRegistry>;

  beforeEach(() => {
    store = new DatedStore();
    bucket = new FilledBucket(store);
    registry = createRegistry(store);
  });

  const rules = retentionRules(`{ repositories: ${name}, untaggedAfter: 7d }`);
  const byRules = untaggedAfter(rules, new Set(rules));

  /** The manifests and blobs that would be condemned on a day, but for layers and configs. */
  async function goneBy(day: number, options: LookOptions = byRules): Promise<string[]> {
    store.day = day;
    Object.assign(store.asked, { lists: 0, reads: 0 });
    const gone: string[] = [];
    await look(store, options, new Garbage((digest) => gone.push(bucket.nameOf(digest))));
    return gone.filter((one) => !one.endsWith('-config')).sort();
  }

  async function push(day: number, tag: string, image: string | Thing): Promise<void> {
    store.day = day;
    const { bytes, mediaType } = typeof image === 'string' ? await bucket.image(name, image, []) : image;
    await registry.manifests.put(name, parseReference(tag), bytes, mediaType);
  }

  async function remove(day: number, reference: string): Promise<void> {
    store.day = day;
    await registry.manifests.delete(name, parseReference(reference));
  }

  it('to another image', async () => {
    await push(0, 'v1', 'a');
    await push(10, 'v1', 'b');
    await push(30, 'v1', 'c');
    assert.deepEqual(await goneBy(16.9), []);
    assert.deepEqual(await goneBy(36.9), ['a']);
    assert.deepEqual(await goneBy(37.1), ['a', 'b']);
    // --delete-untagged
    assert.deepEqual(await goneBy(31.1, { untagged: () => 0 }), ['a', 'b']);
  });

  it('by a delete of the tag, which the key of its record says', async () => {
    for (const tag of ['a', 'b', 'c']) await push(0, tag, tag);
    assert.deepEqual(await goneBy(30), []);
    assert.deepEqual(store.asked, { lists: 0, reads: 0 });
    for (const tag of ['a', 'b']) await remove(30, tag);
    assert.deepEqual(await goneBy(36.9), []);
    assert.deepEqual(store.asked, { lists: 1, reads: 0 });
    assert.deepEqual(await goneBy(37.1), ['a', 'b']);
    assert.deepEqual(await goneBy(31.1, { untagged: () => 0 }), ['a', 'b']);
  });

  it('by a delete of a tag that had moved before, which its record says', async () => {
    await push(0, 'v1', 'a');
    await push(10, 'v1', 'b');
    await push(30, 'v1', 'c');
    await remove(31, 'v1');
    assert.deepEqual(await goneBy(36.9), ['a']);
    assert.deepEqual(store.asked, { lists: 1, reads: 1 });
    assert.deepEqual(await goneBy(37.1), ['a', 'b']);
    assert.deepEqual(await goneBy(38.1), ['a', 'b', 'c']);
    assert.deepEqual(store.asked, { lists: 1, reads: 0 });
  });

  it('by a delete of the image to which the tag was moved', async () => {
    await push(0, 'v1', 'a');
    await push(30, 'v1', 'b');
    await remove(32, 'v1');
    await push(33, 'v1', 'c');
    const { digest } = await registry.manifests.get(name, parseReference('v1')).then(({ info }) => info);
    await remove(34, digest);
    // The bytes of c have no link any more, and are no longer of a manifest without a tag.
    assert.deepEqual(await goneBy(36.9), ['c']);
    assert.deepEqual(await goneBy(37.1), ['a', 'c']);
    assert.deepEqual(await goneBy(39.1), ['a', 'b', 'c']);
  });

  it('and with it the images of an index, and all that is about them', async () => {
    const child = await bucket.image(name, 'child', []);
    const index = await bucket.index(name, 'index', [child]);
    await bucket.image(name, 'of the child', [], about(child));
    await bucket.image(name, 'of the index', [], about(index));
    await push(1, 'v1', index);
    await push(30, 'v1', 'b');
    const all = ['child', 'index', 'of the child', 'of the index'];
    assert.deepEqual(await goneBy(36.9), []);
    assert.deepEqual(await goneBy(37.1), all);
  });

  it('or from its last pull by digest, where pulls are recorded', async () => {
    const recording = retentionRules(
      `{ repositories: ${name}, keep: { pulledWithin: 7d }, otherwise: delete, untaggedAfter: 7d }`,
    );
    const child = await bucket.image(name, 'child', []);
    const index = await bucket.index(name, 'index', [child]);
    const [a, b] = [await bucket.image(name, 'a', []), await bucket.image(name, 'b', [])];
    for (const one of [child, index, a, b]) await push(0, one.digest, one);
    store.day = 20;
    for (const { digest } of [index, a])
      await store.put(pullRecord(name, parseReference(digest)), Buffer.from('{}'));
    const options = untaggedAfter(recording, new Set(recording));
    assert.deepEqual(await goneBy(27.9, options), ['b']);
    // It is recorded once a day at most.
    assert.deepEqual(await goneBy(28.1, options), ['a', 'b', 'child', 'index']);
    assert.deepEqual(await goneBy(20), ['a', 'b', 'child', 'index']);
  });

  it('or from its push, where nothing tells', async () => {
    await push(0, 'v1', 'a');
    await push(30, 'v1', 'b');
    await push(31, 'v2', 'c');
    // As distribution deletes a tag.
    await removeObjects(store, `docker/registry/v2/repositories/${name}/_manifests/tags/`);
    assert.deepEqual(await goneBy(32), ['a']);
    assert.deepEqual(await goneBy(37.1), ['a', 'b']);
  });
});
