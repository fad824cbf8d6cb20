import assert from 'node:assert/strict';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { open as openAccess } from '../../../lib/access/callers.ts';
import type { Digest } from '../../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../../lib/protocol/names.ts';
import { layerLink, revisionLink, tagIndexLink, tagLink } from '../../../lib/registry/layout.ts';
import { readHistory } from '../../../lib/registry/undo/history.ts';
import { UndoRefused } from '../../../lib/registry/undo/refused.ts';
import { rollback } from '../../../lib/registry/undo/rollback.ts';
import { parseReference } from '../../../lib/protocol/references.ts';
import { createRegistry } from '../../../lib/registry/registry.ts';
import { withAccess } from '../../../lib/registry/wrappers/with-access.ts';
import { FilesystemStore } from '../../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { interrupted } from '../interrupted.ts';
import {
  digestOf,
  freshName,
  pull,
  pushImage,
  pushIndex,
  pushManifest,
  remove,
  v1,
  type PushedImage,
} from './images.ts';
import { onUndoPlaces } from './places.ts';

const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof UndoRefused, String(error));
  assert.match(error.message, message);
  return true;
};

async function anyone() {
  return await openAccess.authenticate({ authorization: undefined, address: undefined, origin: '' });
}

onUndoPlaces('history and rollback', (place) => {
  it('the history has each manifest once, marks the present one, and says which are gone', async () => {
    const [{ store }, name] = [place(), freshName()];
    const first = await pushImage(store, name, 'v1');
    const second = await pushImage(store, name, 'v1');
    const third = await pushImage(store, name, 'v1', 'other');
    await remove(store, name, second.digest);
    const { current, entries } = await readHistory(store, name, v1);
    assert.equal(current?.digest, third.digest);
    const facts = entries.map(({ digest, isCurrent, exists }) => ({ digest, isCurrent, exists }));
    const expected = [
      { digest: first.digest, isCurrent: false, exists: true },
      { digest: second.digest, isCurrent: false, exists: false },
      { digest: third.digest, isCurrent: true, exists: true },
    ];
    const byDigest = (a: { digest: string }, b: { digest: string }) => (a.digest < b.digest ? -1 : 1);
    assert.deepEqual(facts.sort(byDigest), expected.sort(byDigest));
    for (const { at } of entries) assert.ok(Math.abs((at?.getTime() ?? 0) - Date.now()) < 60_000);
  });

  it('a rollback moves the tag, which serves the whole image again, and is in its history', async () => {
    const [{ store }, name] = [place(), freshName()];
    const first = await pushImage(store, name, 'v1');
    const second = await pushImage(store, name, 'v1');
    const done = await rollback(store, name, v1, first);
    assert.deepEqual(done, { from: second.digest, to: first.digest });
    assert.equal(await pull(store, name, v1), first.digest);
    const { current, entries } = await readHistory(store, name, v1);
    assert.deepEqual([current?.digest, entries.length], [first.digest, 2]);
    // Again, it is done already.
    assert.deepEqual(await rollback(store, name, v1, first), { from: first.digest, to: first.digest });
  });

  it('the history says who pushed an image last, until an undo or distribution writes it', async () => {
    const [{ store }, name] = [place(), freshName()];
    const pushAs = async (actor: string | undefined, { bytes }: PushedImage) => {
      const registry = withAccess(createRegistry(store), { ...(await anyone()), actor });
      await registry.manifests.put(name, parseReference('v1'), bytes, undefined);
    };
    const pushers = async () =>
      Object.fromEntries((await readHistory(store, name, v1)).entries.map(({ digest, by }) => [digest, by]));
    const [first, second] = [await pushImage(store, name), await pushImage(store, name)];
    await pushAs('user:ann', first);
    await pushAs('github:Björn/\u202e"\\\n', second);
    assert.deepEqual(await pushers(), {
      [first.digest]: 'user:ann',
      [second.digest]: 'github:Björn/\u202e"\\\n',
    });
    await pushAs('user:bob', first);
    await pushAs('x'.repeat(600), second);
    assert.deepEqual(await pushers(), { [first.digest]: 'user:bob', [second.digest]: undefined });
    await rollback(store, name, v1, first);
    await pushAs(undefined, second);
    assert.deepEqual(await pushers(), { [first.digest]: undefined, [second.digest]: undefined });
  });

  it('a dry run of a rollback changes nothing', async () => {
    const [{ store }, name] = [place(), freshName()];
    const first = await pushImage(store, name, 'v1');
    const second = await pushImage(store, name, 'v1');
    const done = await rollback(store, name, v1, first, { dryRun: true });
    assert.deepEqual(done, { from: second.digest, to: first.digest });
    assert.equal(await pull(store, name, v1), second.digest);
  });

  it('a rollback refuses what the repository does not have, and says why', async () => {
    const [{ store }, name] = [place(), freshName()];
    const gone = await pushImage(store, name, 'v1');
    const current = await pushImage(store, name, 'v1');
    const elsewhere = await pushImage(store, freshName(), 'v1');
    await remove(store, name, gone.digest);
    for (const digest of [gone.digest, elsewhere.digest, digestOf(Buffer.from('never'))])
      await assert.rejects(
        rollback(store, name, v1, { digest }),
        refused(/has no manifest .*push the image/),
      );
    const halved = await pushImage(store, name, 'half');
    await store.delete([layerLink(name, halved.blobs[1] ?? halved.digest)]);
    await assert.rejects(rollback(store, name, v1, halved), refused(/is not whole: blob .* is gone; push/));
    const child = await pushImage(store, name);
    const index = await pushIndex(store, name, [child], 'index');
    await remove(store, name, child.digest);
    await assert.rejects(
      rollback(store, name, v1, { digest: index }),
      refused(/is not whole: manifest .* is gone/),
    );
    const withoutChildren = { requiredPlatforms: 'none', dryRun: true } as const;
    assert.equal((await rollback(store, name, v1, { digest: index }, withoutChildren)).to, index);
    await assert.rejects(
      rollback(store, freshName(), v1, current),
      refused(/there is no tag .*:v1; .*restore/),
    );
    assert.equal(await pull(store, name, v1), current.digest);
  });

  it('a rollback refuses an immutable tag and names the rule', async () => {
    const [{ store }, name] = [place(), freshName()];
    const first = await pushImage(store, name, 'v1');
    const second = await pushImage(store, name, 'v1');
    const immutable = (tag: string) => (tag === 'v1' ? 'immutable-tags 1 (v*)' : undefined);
    await assert.rejects(
      rollback(store, name, v1, first, { immutable }),
      refused(/tag v1 is immutable: immutable-tags 1 \(v\*\); change the rule/),
    );
    assert.equal(await pull(store, name, v1), second.digest);
  });

  it('a rollback mends a tag whose link is damaged', async () => {
    const [{ store }, name] = [place(), freshName()];
    const { digest } = await pushImage(store, name, 'v1');
    await store.put(tagLink(name, v1), Buffer.from('damaged'));
    assert.deepEqual(await rollback(store, name, v1, { digest }), { from: undefined, to: digest });
    assert.equal(await pull(store, name, v1), digest);
  });

  it('a push between any two steps of a rollback is not lost', async () => {
    const { store } = place();
    // Without conditional writes the last look and the write are two steps.
    const unguarded = store.limits.honoursIfMatch ? 0 : 1;
    // After the list of marks, where there is one, and the look at the tag: a push before that is what is moved back.
    const begun = store.fencing === undefined ? 1 : 2;
    let lost = 0;
    for (let at = begun; ; at++) {
      const name = freshName();
      const first = await pushImage(store, name, 'v1');
      const second = await pushImage(store, name, 'v1');
      const pushed = await pushImage(store, name, 'new');
      const other = async () => {
        await pushManifest(store, name, pushed.bytes, 'v1');
      };
      const between = interrupted(store, at, other);
      const outcome = await rollback(between.store, name, v1, first).catch((error: unknown) => error);
      if (!between.happened()) break;
      const now = await pull(store, name, v1);
      assert.notEqual(now, second.digest);
      if (now !== pushed.digest) lost += 1;
      else if (outcome instanceof Error) assert.ok(outcome instanceof UndoRefused, String(outcome));
    }
    assert.ok(lost <= unguarded, `${lost} pushes lost`);
  });

  it('a delete of the manifest between any two steps of a rollback leaves no dangling tag', async () => {
    const { store } = place();
    for (let at = 0, happened = true; happened; at++) {
      const name = freshName();
      const first = await pushImage(store, name, 'v1');
      const second = await pushImage(store, name, 'v1');
      const between = interrupted(store, at, async () => {
        await remove(store, name, first.digest);
      });
      const outcome = await rollback(between.store, name, v1, first).catch((error: unknown) => error);
      happened = between.happened();
      if (outcome instanceof Error) assert.ok(outcome instanceof UndoRefused, String(outcome));
      await assertResolves(store, name, [first.digest, second.digest]);
    }
  });
});

/** A tag that is there points at a manifest that is there. */
async function assertResolves(
  store: ObjectStore,
  name: RepositoryName,
  digests: readonly Digest[],
): Promise<void> {
  const link = await store.read(tagLink(name, v1), 100).catch(() => undefined);
  if (link === undefined) return;
  const digest = link.bytes.toString() as Digest;
  assert.ok(digests.includes(digest), digest);
  assert.ok(await createRegistry(store).manifests.has(name, digest), `${digest} is gone`);
  await store.head(revisionLink(name, digest));
}

describe('a rollback to a time', () => {
  it('takes what was pushed last before it', async (context) => {
    const folder = await temporaryFolder('rollback');
    context.after(() => {
      folder.remove();
    });
    const store = await FilesystemStore.open(folder.path);
    const name = freshName();
    const hour = 3_600_000;
    const images = [];
    for (const hoursAgo of [30, 20, 10]) {
      const image = await pushImage(store, name, 'v1');
      // Whole seconds, which every file system keeps as they are.
      const time = new Date(Math.floor(Date.now() / 1000) * 1000 - hoursAgo * hour);
      await utimes(join(folder.path, tagIndexLink(name, v1, image.digest)), time, time);
      images.push({ ...image, time });
    }
    const [oldest, middle, newest] = images;
    const to = async (target: Parameters<typeof rollback>[3]) =>
      (await rollback(store, name, v1, target, { dryRun: true })).to;
    assert.equal(await to({ agoMs: 11 * hour }), middle?.digest);
    assert.equal(await to({ agoMs: 9 * hour }), newest?.digest);
    assert.equal(await to({ at: middle?.time ?? new Date() }), middle?.digest);
    assert.equal(await to({ at: new Date((middle?.time.getTime() ?? 0) - 1) }), oldest?.digest);
    await assert.rejects(to({ agoMs: 31 * hour }), refused(/nothing as old as 20.*; choose a digest/));
    const { entries } = await readHistory(store, name, v1);
    assert.deepEqual(
      entries.map(({ digest }) => digest),
      [newest?.digest, middle?.digest, oldest?.digest],
    );
  });
});
