import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { rescueKey } from '../../../lib/registry/layout.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import {
  collectAll,
  complete,
  condemn,
  contentOf,
  lookAgain,
  onCollectedStores,
  pause,
  unitMs,
} from './collecting.ts';
import { fill, type Filled } from './filled-bucket.ts';
import { lacking } from './interrupted-collection.ts';

/** The names of what has bytes, of those that nothing needed when all was condemned. */
async function left(store: ObjectStore, { bucket, untagged }: Filled): Promise<string[]> {
  const keys = await contentOf(store);
  const names = keys
    .filter((key) => key.startsWith('docker/registry/v2/blobs/'))
    .map((key) => bucket.nameOf(`sha256:${key.split('/').at(-2)}`));
  return names.filter((name) => untagged.freed.includes(name)).sort();
}

onCollectedStores('a collection leaves', (open) => {
  const condemned = async () => {
    const store = await open();
    const filled = await fill(store);
    await pause(unitMs);
    const lacked = await lacking(store);
    const mark = await condemn(store);
    await pause(unitMs);
    const digestOf = (name: string) => parseDigest(filled.bucket.some(name).digest);
    return { store, filled, mark, lacked, digestOf };
  };
  const totals = async (store: ObjectStore, mark: string) => {
    const { left, deleted } = await complete(store, mark);
    return { ...left, rescued: deleted.rescued.size };
  };

  it('what a writer has rescued, after the second look too, with all that it needs', async () => {
    const { store, filled, mark, lacked, digestOf } = await condemned();
    await lookAgain(store);
    const keys = await contentOf(store);
    const manifest =
      keys.find((key) => filled.bucket.nameOf(`sha256:${key.split('/').at(-2)}`) === 'old') ?? '';
    const old = parseDigest(`sha256:${manifest.split('/').at(-2)}`);
    for (const digest of [old, digestOf('late')]) await store.put(rescueKey(mark, digest), Buffer.from(''));
    const { rescued } = await totals(store, mark);
    // The tag that is about it stays with its image.
    assert.deepEqual(await left(store, filled), [
      'cosign-of-old',
      'cosign-of-old-config',
      'late',
      'old',
      'old-config',
      'old-layer',
    ]);
    assert.equal(rescued, 6);
    assert.deepEqual(await lacking(store), lacked);
    const after = await contentOf(store);
    assert.ok(
      after.includes(
        `docker/registry/v2/repositories/app/refs/_manifests/tags/sha256-${old.slice(7)}.sig/current/link`,
      ),
    );
    assert.ok(after.some((key) => key.startsWith('docker/registry/v2/repositories/late/_layers/')));
  });

  it('the bytes of a blob with a link that is newer than the mark, and that link', async () => {
    const { store, filled, mark } = await condemned();
    await filled.bucket.layerLink('mounted', filled.bucket.some('late'));
    assert.deepEqual(await totals(store, mark), { needed: 0, renewed: 1, held: 0, rescued: 0 });
    const after = await contentOf(store);
    assert.deepEqual(
      after.filter((key) => /repositories\/(mounted|late)\//.test(key)).map((key) => key.split('/')[4]),
      ['mounted'],
    );
  });

  it('what a tag needs that was written since, with the link of its manifest', async () => {
    const { store, filled, mark, lacked } = await condemned();
    const keys = await contentOf(store);
    const manifest =
      keys.find((key) => filled.bucket.nameOf(`sha256:${key.split('/').at(-2)}`) === 'past') ?? '';
    const digest = `sha256:${manifest.split('/').at(-2)}`;
    await filled.bucket.put('repositories/app/multi/_manifests/tags/back/current/link', digest);
    assert.deepEqual(await totals(store, mark), { needed: 3, renewed: 0, held: 0, rescued: 0 });
    assert.deepEqual(await left(store, filled), ['of-the-past', 'past', 'past-config']);
    assert.deepEqual(await lacking(store), lacked);
  });

  it('all of a repository that has been damaged since', async () => {
    const { store, filled, mark } = await condemned();
    await filled.bucket.put('repositories/app/multi/_manifests/tags/damaged/current/link', 'no digest');
    assert.deepEqual(await totals(store, mark), { needed: 0, renewed: 0, held: 4, rescued: 0 });
    assert.deepEqual(await left(store, filled), ['deleted-layer', 'of-the-past', 'past', 'past-config']);
  });

  it('what is in a list that is damaged, and stops at a mark that it cannot read', async () => {
    const { store, filled, mark } = await condemned();
    await filled.bucket.put(`gc/lists/${mark}/sha256/all`, 'sha256:');
    const { deleted } = await complete(store, mark);
    assert.equal(deleted.links + deleted.blobs.number, 0);
    await filled.bucket.put('gc/marks/9999999999999-0123456789ab', '{"version": 2}');
    await assert.rejects(collectAll(store), /damaged, or was written by another release/);
  });
});
