import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { beforeEach, describe, it } from 'node:test';
import { parseDigest, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { Blobs } from '../../lib/registry/blobs.ts';
import { Collections } from '../../lib/registry/collection/collections.ts';
import type { Moment } from '../../lib/registry/expiring-cache.ts';
import { ImmutableImages } from '../../lib/registry/immutable-images.ts';
import { existenceTtlMs, KnownBlobs } from '../../lib/registry/known-blobs.ts';
import { blobData, layerLink } from '../../lib/registry/layout.ts';
import { MountHints } from '../../lib/registry/mount-hints.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { Tags } from '../../lib/registry/tags.ts';
import { intercepted } from './interrupted.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { digestOf } from '../../lib/registry/uploads/content-hash.ts';
import { MemoryStore } from './memory-store.ts';

const name = parseRepositoryName('team/app');
const other = parseRepositoryName('team/other');

const blobsOn = (store: ObjectStore, known: KnownBlobs): Blobs => {
  const images = new ImmutableImages(store, new Tags(store));
  return new Blobs(store, new MountHints([]), images, new Collections(store), known);
};

describe('what a process remembers of blobs', () => {
  let store: MemoryStore;
  let calls: string[];
  let time: Moment;
  let blobs: Blobs;
  let digest: Digest;

  const pass = (ms: number) => {
    time = { wallMs: time.wallMs + ms, monotonicMs: time.monotonicMs + ms };
  };

  /** The keys that were asked for. */
  const asked = async (act: () => Promise<unknown>): Promise<string[]> => {
    calls = [];
    await act();
    return calls;
  };

  beforeEach(async () => {
    store = new MemoryStore({ conditionalWrites: true });
    calls = [];
    time = { wallMs: 1_000_000, monotonicMs: 0 };
    const seen = intercepted(store, (_, [key]) => calls.push(String(key)));
    const known = new KnownBlobs(() => time);
    blobs = blobsOn(seen, known);
    const bytes = randomBytes(20);
    digest = digestOf(bytes, 'sha256');
    await store.put(blobData(digest), bytes);
    for (const repository of [name, other])
      await store.put(layerLink(repository, digest), Buffer.from(digest));
  });

  it('the bytes of a blob are looked up once within the time, its link every time', async () => {
    const stat = async () => {
      assert.deepEqual(await blobs.stat(name, digest), { digest, size: 20 });
    };
    assert.deepEqual(await asked(stat), [layerLink(name, digest), blobData(digest)]);
    pass(existenceTtlMs - 1);
    assert.deepEqual(await asked(stat), [layerLink(name, digest)]);
    pass(1);
    assert.deepEqual(await asked(stat), [layerLink(name, digest), blobData(digest)]);
  });

  it('the time counts from before the bucket was asked', async () => {
    const slow = intercepted(store, () => {
      pass(existenceTtlMs / 2);
    });
    const known = new KnownBlobs(() => time);
    assert.equal(await blobsOn(slow, known).has(name, digest), true);
    pass(existenceTtlMs / 2);
    assert.equal(known.size(digest, 0), undefined);
  });

  it('a blob that was deleted is gone at once, also when another repository has it (CVE-2026-35172)', async () => {
    for (const remove of [
      async () => {
        await blobs.delete(name, digest);
      },
      // By another process.
      async () => {
        await store.delete([layerLink(other, digest)]);
      },
    ]) {
      await blobs.stat(name, digest).catch(() => undefined);
      await blobs.stat(other, digest);
      await remove();
    }
    for (const repository of [name, other]) {
      assert.equal(await blobs.has(repository, digest), false);
      await assert.rejects(blobs.stat(repository, digest, { isExpected: false }), {
        failure: 'BLOB_UNKNOWN',
      });
      assert.equal(await blobs.mount(parseRepositoryName('third'), digest, repository), undefined);
    }
  });

  it('bytes that are gone are missed when the time is over, or when they are read', async () => {
    await blobs.stat(name, digest);
    await store.delete([blobData(digest)]);
    assert.equal(await blobs.has(name, digest), true);
    pass(existenceTtlMs);
    assert.equal(await blobs.has(name, digest), false);

    await store.put(blobData(digest), randomBytes(20));
    const blob = await blobs.stat(name, digest);
    await store.delete([blobData(digest)]);
    await assert.rejects(blobs.open(name, blob), { failure: 'BLOB_UNKNOWN' });
    assert.equal(await blobs.has(name, digest), false);
  });

  it('small bytes of another size than was remembered are refused once, and then served', async () => {
    const open = store.open.bind(store);
    let content = Buffer.from('these are twenty by.');
    store.open = async (key, range) => ({
      ...(await open(key, range)),
      size: content.length,
      bytes: content,
    });
    const blob = await blobs.stat(name, digest);
    assert.equal(await blobs.open(name, blob), content);
    content = content.subarray(1);
    await assert.rejects(blobs.open(name, blob), { failure: 'UNAVAILABLE' });
    await store.put(blobData(digest), content);
    assert.equal(await blobs.open(name, await blobs.stat(name, digest)), content);
  });

  it('a missing blob is never remembered', async () => {
    const later = parseDigest(`sha256:${'7'.repeat(64)}`);
    assert.equal(await blobs.has(name, later), false);
    await store.put(blobData(later), randomBytes(7));
    assert.equal(await blobs.has(name, later), false);
    await store.put(layerLink(name, later), Buffer.from(later));
    assert.deepEqual(await blobs.stat(name, later), { digest: later, size: 7 });
  });

  it('a blob that is probably missing is looked up by its link first', async () => {
    await store.delete([layerLink(name, digest)]);
    const stat = async () => {
      await blobs.stat(name, digest, { isExpected: false }).catch(() => undefined);
    };
    assert.deepEqual(await asked(stat), [layerLink(name, digest)]);
    await store.put(layerLink(name, digest), Buffer.from(digest));
    assert.deepEqual(await asked(stat), [layerLink(name, digest), blobData(digest)]);
  });

  it('a blob that this process has stored is known', async () => {
    const bytes = randomBytes(30);
    const registry = createRegistry(intercepted(store, (_, [key]) => calls.push(String(key))));
    const body = (async function* () {
      yield await Promise.resolve(bytes);
    })();
    await registry.uploads.put(name, digestOf(bytes, 'sha256'), { body, length: 30 });
    const stat = async () => await registry.blobs.stat(name, digestOf(bytes, 'sha256'));
    assert.deepEqual(await asked(stat), [layerLink(name, digestOf(bytes, 'sha256'))]);
  });
});

it('the number of blobs that are remembered is bounded', () => {
  const known = new KnownBlobs();
  const digests = Array.from({ length: 10_001 }, (_, i) =>
    parseDigest(`sha256:${i.toString(16).padStart(64, '0')}`),
  );
  for (const digest of digests) known.add(digest, 1, known.now(0));
  assert.equal(known.size(digests[0] ?? assert.fail(), 0), undefined);
  assert.equal(known.size(digests[1] ?? assert.fail(), 0), 1);
});
