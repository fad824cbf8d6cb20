import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  blobData,
  deletionRecordsPrefix,
  layerLink,
  revisionLink,
  tagIndexLink,
  tagLink,
} from '../../../lib/registry/layout.ts';
import { listObjects } from '../../../lib/registry/list-objects.ts';
import { pushedAt, readHistory } from '../../../lib/registry/undo/history.ts';
import { UndoRefused } from '../../../lib/registry/undo/refused.ts';
import { restoreTag } from '../../../lib/registry/undo/restore-tag.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { interrupted } from '../interrupted.ts';
import { freshName, pull, pushImage, pushIndex, pushManifest, remove, tagsOf, v1 } from './images.ts';
import { onUndoPlaces } from './places.ts';

const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof UndoRefused, String(error));
  assert.match(error.message, message);
  return true;
};

onUndoPlaces('restoring a deleted tag', (place) => {
  it('a deleted tag comes back with its history and the times of its pushes', async () => {
    const [{ store }, name] = [place(), freshName()];
    await pushImage(store, name, 'v1');
    const last = await pushImage(store, name, 'v1');
    const before = await readHistory(store, name, v1);
    await remove(store, name, 'v1');
    assert.deepEqual(await tagsOf(store, name), []);
    const dry = await restoreTag(store, name, v1, { dryRun: true });
    assert.deepEqual(await tagsOf(store, name), []);
    const restored = await restoreTag(store, name, v1);
    assert.deepEqual(restored, dry);
    const { tag, digest, deleted, manifests } = restored;
    assert.deepEqual({ tag, digest, manifests }, { tag: 'v1', digest: last.digest, manifests: [] });
    assert.ok(Math.abs(deleted.getTime() - Date.now()) < 60_000);
    assert.equal(await pull(store, name, v1), last.digest);
    const after = await readHistory(store, name, v1);
    const times = ({ entries }: typeof before) =>
      new Map(entries.filter(({ isCurrent }) => !isCurrent).map(({ digest, at }) => [digest, at]));
    assert.equal(after.entries.length, 2);
    assert.deepEqual(times(after), times(before));
  });

  it('a push after a restore has its own time in the history', async () => {
    const [{ store }, name] = [place(), freshName()];
    const { digest, bytes } = await pushImage(store, name, 'v1');
    const then = new Date('2026-01-02T03:04:05.678Z');
    await store.put(tagIndexLink(name, v1, digest), Buffer.from(digest), { metadata: pushedAt(then) });
    const time = async () => (await readHistory(store, name, v1)).entries.map(({ at }) => at);
    assert.deepEqual(await time(), [then]);
    await pushManifest(store, name, bytes, 'v1');
    const [pushed] = await time();
    assert.ok(Math.abs((pushed?.getTime() ?? 0) - Date.now()) < 60_000);
  });

  it('tags that a delete by digest took come back, each with the manifest, from one record', async () => {
    const [{ store }, name] = [place(), freshName()];
    const { digest } = await pushImage(store, name, 'v1', 'v1.0');
    await remove(store, name, digest);
    assert.equal((await records(store, name)).length, 1);
    assert.deepEqual((await restoreTag(store, name, v1)).manifests, [digest]);
    assert.deepEqual(await tagsOf(store, name), ['v1']);
    assert.equal(await pull(store, name, v1), digest);
    const other = 'v1.0' as typeof v1;
    assert.deepEqual((await restoreTag(store, name, other)).manifests, []);
    assert.equal(await pull(store, name, other), digest);
  });

  it('an index comes back with the manifests that were deleted by digest after it', async () => {
    const [{ store }, name] = [place(), freshName()];
    const children = [await pushImage(store, name), await pushImage(store, name)];
    const index = await pushIndex(store, name, children, 'v1');
    await remove(store, name, index);
    for (const { digest } of children) await remove(store, name, digest);
    const { manifests } = await restoreTag(store, name, v1);
    assert.deepEqual(new Set(manifests), new Set([index, ...children.map(({ digest }) => digest)]));
    assert.equal(await pull(store, name, v1), index);
  });

  it('the last delete of a tag counts', async () => {
    const [{ store }, name] = [place(), freshName()];
    for (let i = 0; i < 3; i++) {
      await pushImage(store, name, 'v1');
      await remove(store, name, 'v1');
    }
    const last = await pushImage(store, name, 'v1');
    await remove(store, name, 'v1');
    assert.equal((await restoreTag(store, name, v1)).digest, last.digest);
  });

  it('a tag with a damaged link comes back at its last push', async () => {
    const [{ store }, name] = [place(), freshName()];
    const { digest } = await pushImage(store, name, 'v1');
    await store.put(tagLink(name, v1), Buffer.from('damaged'));
    await remove(store, name, 'v1');
    assert.equal((await restoreTag(store, name, v1)).digest, digest);
  });

  it('a restore refuses what cannot come back, and says why', async () => {
    const [{ store }, name] = [place(), freshName()];
    await assert.rejects(restoreTag(store, name, v1), refused(/no delete of tag .*:v1 is recorded/));
    const image = await pushImage(store, name, 'v1');
    await assert.rejects(restoreTag(store, name, v1), refused(/is there; stowage rollback moves it/));
    await remove(store, name, 'v1');
    const [layer = image.digest] = image.blobs;
    await store.delete([layerLink(name, layer)]);
    await assert.rejects(restoreTag(store, name, v1), refused(/^blob sha256:.* is gone from repository/));
    await store.delete([blobData(image.digest)]);
    await assert.rejects(restoreTag(store, name, v1), refused(/^the bytes of manifest .* were collected/));
    assert.deepEqual(await tagsOf(store, name), []);
  });

  it('a manifest that only another repository had does not come back with an index', async () => {
    const [{ store }, name, other] = [place(), freshName(), freshName()];
    const child = await pushImage(store, name);
    const index = await pushIndex(store, name, [child], 'v1');
    await remove(store, name, 'v1');
    // As if it had never been there, and the index had been accepted without it.
    await pushManifest(store, other, (await copyOf(store, other, child)).bytes);
    await store.delete([revisionLink(name, child.digest)]);
    await assert.rejects(restoreTag(store, name, v1), refused(/^manifest sha256:.* is gone from repository/));
    const { manifests } = await restoreTag(store, name, v1, { requiredPlatforms: 'none' });
    assert.deepEqual([manifests, index !== child.digest], [[], true]);
  });

  it('a restore that is interrupted at any step is completed by a repetition', async () => {
    const { store } = place();
    for (let at = 0; ; at++) {
      const name = freshName();
      const { digest } = await pushImage(store, name, 'v1');
      await remove(store, name, digest);
      const killed = interrupted(store, at, async () => await Promise.reject(new Error('killed')));
      const outcome = await restoreTag(killed.store, name, v1).catch((error: unknown) => error);
      if (!killed.happened()) break;
      assert.ok(outcome instanceof Error);
      if ((await pull(store, name, v1)) === undefined) await restoreTag(store, name, v1);
      assert.equal(await pull(store, name, v1), digest);
    }
  });

  it('a push between any two steps of a restore is not lost', async () => {
    const { store } = place();
    const unguarded = store.limits.honoursOnlyIfAbsent ? 0 : 1;
    let lost = 0;
    for (let at = 0; ; at++) {
      const name = freshName();
      await pushImage(store, name, 'v1');
      const pushed = await pushImage(store, name, 'new');
      await remove(store, name, 'v1');
      const between = interrupted(store, at, async () => {
        await pushManifest(store, name, pushed.bytes, 'v1');
      });
      const outcome = await restoreTag(between.store, name, v1).catch((error: unknown) => error);
      if (!between.happened()) break;
      if (outcome instanceof Error) assert.ok(outcome instanceof UndoRefused, String(outcome));
      if ((await pull(store, name, v1)) !== pushed.digest) lost += 1;
    }
    assert.ok(lost <= unguarded, `${lost} pushes lost`);
  });
});

async function records(store: ObjectStore, name: ReturnType<typeof freshName>): Promise<readonly string[]> {
  return await Array.fromAsync(listObjects(store, deletionRecordsPrefix(name)), ({ key }) => key);
}

/** Gives a repository the blobs of another's image. */
async function copyOf(
  store: ObjectStore,
  name: ReturnType<typeof freshName>,
  image: Awaited<ReturnType<typeof pushImage>>,
) {
  for (const digest of image.blobs) await store.put(layerLink(name, digest), Buffer.from(digest));
  return image;
}
