import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import {
  blobData,
  deletedPrefix,
  foreignUploadsPrefix,
  repositoryPrefix,
  tagIndexPrefix,
  tagLink,
} from '../../../lib/registry/layout.ts';
import { listObjects } from '../../../lib/registry/list-objects.ts';
import { createRegistry } from '../../../lib/registry/registry.ts';
import { deleteRepository } from '../../../lib/registry/undo/delete-repository.ts';
import { readHistory } from '../../../lib/registry/undo/history.ts';
import { UndoRefused } from '../../../lib/registry/undo/refused.ts';
import { restoreRepository } from '../../../lib/registry/undo/restore-repository.ts';
import { restoreTag } from '../../../lib/registry/undo/restore-tag.ts';
import { purgeUploads } from '../../../lib/registry/uploads/purge.ts';
import { onStores } from '../on-stores.ts';
import { freshName, pull, pushImage, remove, tagsOf, v1 } from './images.ts';
import { contentOf, fill, historyOf, linkLayer, withoutWaits } from './repositories.ts';

const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof UndoRefused, String(error));
  assert.match(error.message, message);
  return true;
};

const nothing = { tags: 0, manifests: 0, layers: 0 };

onStores('deleting a repository', (opened) => {
  const store = () => withoutWaits(opened());

  it('all of it goes, but for repositories below it, and comes back byte for byte with the times of its histories', async () => {
    const name = freshName();
    const below = parseRepositoryName(`${name}/below`);
    await fill(store(), name);
    await fill(store(), below);
    const [before, belowBefore] = [await contentOf(store(), name), await contentOf(store(), below)];
    const times = await historyOf(store(), name);
    const dry = await deleteRepository(store(), name, { dryRun: true });
    assert.deepEqual(await contentOf(store(), name), before);
    const deleted = await deleteRepository(store(), name);
    assert.deepEqual({ ...deleted, at: undefined }, dry);
    const { at, pushed, ...content } = dry;
    assert.equal(at, undefined);
    assert.deepEqual(content, { tags: 3, manifests: 5, layers: 6, others: 8, uploads: 0 });
    assert.deepEqual(pushed, { tags: 0, manifests: 0 });
    assert.deepEqual([...(await contentOf(store(), name)).keys()], []);
    assert.equal(await createRegistry(store()).catalog.has(name), false);
    assert.deepEqual(await contentOf(store(), below), belowBefore);
    const would = await restoreRepository(store(), name, { dryRun: true });
    assert.deepEqual([...(await contentOf(store(), name)).keys()], []);
    const restored = await restoreRepository(store(), name);
    assert.deepEqual(restored, would);
    const { deleted: since, ...counts } = restored;
    assert.deepEqual(since, deleted.at);
    assert.deepEqual(counts, {
      ...{ tags: 3, manifests: 5, layers: 6, kept: 0 },
      gone: { ...nothing, named: [] },
    });
    assert.deepEqual(await contentOf(store(), name), before);
    assert.deepEqual(await historyOf(store(), name), times);
    assert.deepEqual(await contentOf(store(), below), belowBefore);
  });

  it('a second delete and restore keep the times of histories from before the first', async () => {
    const name = freshName();
    await fill(store(), name);
    const [before, times] = [await contentOf(store(), name), await historyOf(store(), name)];
    for (let i = 0; i < 2; i++) {
      await deleteRepository(store(), name);
      await restoreRepository(store(), name);
    }
    assert.deepEqual(await contentOf(store(), name), before);
    assert.deepEqual(await historyOf(store(), name), times);
  });

  it('what was pushed since is left alone, and the history of its tag is completed', async () => {
    const name = freshName();
    const old = await pushImage(store(), name, 'v1', 'v2');
    await deleteRepository(store(), name);
    const { digest } = await pushImage(store(), name, 'v1');
    const restored = await restoreRepository(store(), name);
    assert.deepEqual([restored.tags, restored.kept], [1, 1]);
    assert.equal(await pull(store(), name, v1), digest);
    assert.equal(await pull(store(), name, 'v2' as typeof v1), old.digest);
    const { entries } = await readHistory(store(), name, v1);
    assert.deepEqual(
      entries.map((entry) => entry.digest),
      [digest, old.digest],
    );
  });

  it('only the last delete is undone, and only once', async () => {
    const name = freshName();
    await pushImage(store(), name, 'first');
    await deleteRepository(store(), name);
    await pushImage(store(), name, 'second');
    await deleteRepository(store(), name);
    await restoreRepository(store(), name);
    assert.deepEqual(await tagsOf(store(), name), ['second']);
    await remove(store(), name, 'second');
    await assert.rejects(restoreRepository(store(), name), refused(/was restored already; .*restore .*:TAG/));
    assert.deepEqual(await tagsOf(store(), name), []);
    const again = await restoreTag(store(), name, 'second' as typeof v1);
    assert.equal(again.tag, 'second');
  });

  it('what lost its bytes stays gone with the tags that need it, of which distribution would list the rest', async () => {
    const name = freshName();
    const whole = await pushImage(store(), name, 'whole');
    const halved = await pushImage(store(), name, 'halved', 'halved2');
    const collected = await pushImage(store(), name, 'collected');
    await deleteRepository(store(), name);
    const [layer = halved.digest] = halved.blobs;
    await store().delete([blobData(layer), blobData(collected.digest)]);
    const { gone, ...restored } = await restoreRepository(store(), name);
    assert.deepEqual(gone, { tags: 3, manifests: 2, layers: 1, named: ['collected', 'halved', 'halved2'] });
    assert.deepEqual([restored.tags, restored.manifests, restored.layers], [1, 1, 5]);
    assert.deepEqual(await tagsOf(store(), name), ['whole']);
    assert.equal(await pull(store(), name, 'whole' as typeof v1), whole.digest);
    for (const tag of gone.named)
      assert.deepEqual(await Array.fromAsync(listObjects(store(), tagIndexPrefix(name, tag))), []);
  });

  it('a tag that is damaged, or has lost its link, is deleted; the first comes back as it was', async () => {
    const name = freshName();
    await pushImage(store(), name, 'damaged', 'unlinked');
    await store().put(tagLink(name, 'damaged' as typeof v1), Buffer.from([0xff, 0, 0xfe]));
    await store().delete([tagLink(name, 'unlinked' as typeof v1)]);
    const before = await contentOf(store(), name);
    assert.equal((await deleteRepository(store(), name)).tags, 1);
    await restoreRepository(store(), name);
    const after = await contentOf(store(), name);
    assert.deepEqual(after, new Map([...before].filter(([key]) => !key.includes('/unlinked/'))));
  });

  it('uploads through distribution end, are counted, and do not come back', async () => {
    const name = freshName();
    await linkLayer(store(), name);
    for (const part of ['one/data', 'one/startedat', 'two/startedat'])
      await store().put(`${foreignUploadsPrefix(name)}${part}`, Buffer.from('bytes'));
    assert.equal((await deleteRepository(store(), name)).uploads, 2);
    assert.equal(await createRegistry(store()).catalog.has(name), false);
    await restoreRepository(store(), name);
    assert.equal((await contentOf(store(), name)).size, 0);
  });

  it('an immutable tag refuses the delete by name, and nothing changes', async () => {
    const name = freshName();
    await pushImage(store(), name, 'v1', 'latest');
    const before = await contentOf(store(), name);
    const immutable = (tag: string) => (tag === 'v1' ? 'immutable-tags 1 (v*)' : undefined);
    for (const dryRun of [true, false])
      await assert.rejects(
        deleteRepository(store(), name, { immutable, dryRun }),
        refused(/^tag v1 of repository .* is immutable: immutable-tags 1 \(v\*\); change the rule/),
      );
    assert.deepEqual(await contentOf(store(), name), before);
    await assert.rejects(
      restoreRepository(store(), name),
      refused(/^no delete of repository .* is recorded/),
    );
  });

  it('a delete refuses what is not there, and a restore what was purged', async () => {
    const name = freshName();
    await assert.rejects(
      deleteRepository(store(), name),
      refused(/^there is no repository .*; stowage restore/),
    );
    await assert.rejects(
      restoreRepository(store(), name),
      refused(/^no delete of repository .* is recorded/),
    );
    const { digest } = await pushImage(store(), name, 'v1');
    await deleteRepository(store(), name);
    await assert.rejects(deleteRepository(store(), name), refused(/^there is no repository/));
    await assert.rejects(restoreTag(store(), name, v1), refused(/was deleted whole .*, and stowage restore/));
    const later = new Date(Date.now() + 60_000);
    const purge = async () =>
      await Array.fromAsync(purgeUploads(store(), { olderThan: new Date(0), recordsOlderThan: later }));
    await purge();
    assert.equal((await restoreRepository(store(), name, { dryRun: true })).tags, 1);
    await store().delete([blobData(digest)]);
    await purge();
    const left = await Array.fromAsync(listObjects(store(), `${deletedPrefix}${name}/`));
    assert.deepEqual(left, []);
    await assert.rejects(
      restoreRepository(store(), name),
      refused(/^no delete of repository .* is recorded/),
    );
  });

  it('an object that is too large to be recorded refuses the delete by name, and nothing changes', async () => {
    const name = freshName();
    await pushImage(store(), name, 'v1');
    const key = `${repositoryPrefix(name)}stray/disk.img`;
    await store().put(key, Buffer.alloc(16 * 1024 * 1024 + 1));
    await assert.rejects(deleteRepository(store(), name), refused(/stray\/disk\.img has 16777217 bytes/));
    assert.deepEqual(await tagsOf(store(), name), ['v1']);
  });
});
