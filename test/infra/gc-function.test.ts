import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { recordLinks } from '../../lib/maintenance/collection/link-records.ts';
import { newMark } from '../../lib/maintenance/collection/marks.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { keysIn, pause, unitMs } from '../maintenance/collection/collecting.ts';
import { fill, FilledBucket, type Filled } from '../maintenance/collection/filled-bucket.ts';
import type { BucketProxy } from '../servers/bucket-proxy.ts';
import { onScs, onSwift, onVersitygw, type Buckets } from '../servers/buckets.ts';
import { asInLambda, packagedFunctions, type PackagedFunctions } from '../servers/packaged-functions.ts';
import { requires } from '../servers/requires.ts';
import {
  actionsSeen,
  agedUntilMark,
  allowedActions,
  enabled,
  invoke,
  isAllowed,
  startFunction,
  summaryIn,
  type Line,
  type StartedFunction,
} from './gc-function.ts';
import { runBuild } from './run-node.ts';

before(async () => {
  const { code, output } = await runBuild();
  assert.equal(code, 0, output);
});

/** A run without --exclusive has deleted links, and another registry has pushed the image meanwhile. */
async function deletedBeside(store: ObjectStore): Promise<void> {
  const bucket = new FilledBucket(store);
  const name = 'beside/distribution';
  const layer = await bucket.layer(name, 'pushed-beside-layer');
  const image = await bucket.image(name, 'pushed-beside', [layer]);
  await bucket.tag(name, 'v1', image);
  const folder = `docker/registry/v2/repositories/${name}`;
  const keys = [
    `${folder}/_layers/sha256/${layer.hex}/link`,
    `${folder}/_manifests/revisions/sha256/${image.hex}/link`,
  ];
  await store.delete(keys);
  const mark = newMark(new Date(Date.now() - 7 * 24 * 3_600_000), true);
  await recordLinks(store, mark, 'look/part', [{ digest: parseDigest(image.digest), keys }]);
}

describe('the function gc on versitygw', requires('versitygw'), () => {
  let buckets: Buckets;
  let proxy: BucketProxy;
  let functions: PackagedFunctions;
  let started: StartedFunction;
  let store: ObjectStore;
  let filled: Filled;
  let had: readonly string[];
  let condemned: Line;

  before(async () => {
    buckets = await onVersitygw.start();
    const storage = await buckets.newBucket();
    store = await storage.open();
    filled = await fill(store);
    await pause(unitMs);
    started = await startFunction(buckets, storage, [], { REGISTRY_GC_DELETEUNTAGGED: 'true' });
    ({ functions, proxy } = started);
    had = await keysIn(store);
    await deletedBeside(store);
    // What is in the bucket is old, until there is a mark.
    agedUntilMark(proxy, 2 * 24 * 3_600_000);
  });

  after(async () => {
    await started.stop();
    await buckets.stop();
  });

  it('condemns, deletes nothing, and fails because of a damaged repository, which it names', async () => {
    const { lines, failed } = await invoke(functions);
    condemned = summaryIn(lines);
    assert.partialDeepStrictEqual(condemned, {
      deleted: { blobs: 0, links: 0 },
      found: { freed: { blobs: filled.untagged.freed.length }, damaged: filled.damaged.length },
      waiting: [{ next: 'deletions' }],
    });
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error').map(({ repository }) => repository),
      // The last line is of the failure itself.
      [...filled.damaged, undefined],
    );
    assert.equal(failed, true);
    const left = new Set(await keysIn(store));
    assert.deepEqual(
      had.filter((key) => !left.has(key)),
      [],
    );
  });

  it('waits in the next invocation, and says until when', async () => {
    const { lines, failed } = await invoke(functions);
    assert.equal(failed, false);
    const { waiting, deleted, condemned: again } = summaryIn(lines);
    const [from, fromBefore] = [waiting, condemned['waiting']].map((marks) =>
      Date.parse((marks as { from: string }[])[0]?.from ?? ''),
    );
    assert.ok(Math.abs((from ?? 0) - (fromBefore ?? 0)) < 3000);
    assert.deepEqual([(deleted as Line)['blobs'], again], [0, null]);
  });

  it('deletes after that time, and looks for more only a day later', async () => {
    await pause(7000);
    const { lines, failed } = await invoke(functions);
    assert.equal(failed, false);
    const { deleted, completed, condemned: again, found } = summaryIn(lines);
    assert.equal((deleted as Line)['blobs'], filled.untagged.freed.length);
    assert.equal((deleted as Line)['bytes'], filled.bucket.sizeOf(...filled.untagged.freed));
    assert.equal((completed as string[]).length, 1);
    assert.deepEqual([again, found], [null, undefined]);
    const left = (await keysIn(store)).filter((key) => key.includes('/gc/') && !key.includes('/references/'));
    assert.deepEqual(left, ['docker/registry/v2/gc/looked']);
  });

  it('warns beside another collection', async () => {
    await store.put('docker/registry/v2/gc/running', Buffer.from(''));
    const { lines, failed } = await invoke(functions);
    assert.equal(failed, false);
    assert.deepEqual(
      lines.map(({ level, msg }) => [level, String(msg).replace(/\d+/, '0')]),
      [['warn', 'gc does not run: another collection was active 0 s ago']],
    );
    await store.delete(['docker/registry/v2/gc/running']);
  });

  it('has the rights that its requests need, and no others but what AWS alone asks for', async () => {
    const seen = await actionsSeen(proxy, store, had);
    const allowed = allowedActions({ auth: 'none' });
    assert.deepEqual(
      seen.filter((one) => !isAllowed(one, allowed)),
      [],
    );
    assert.deepEqual(
      allowed.filter((one) => !seen.some((action) => isAllowed(action, [one]))),
      [],
    );
  });
});

describe('the function gc', () => {
  for (const [kind, feature, reason] of [
    [onScs, 'scs', /whether its listings lag behind writes/],
    [onSwift, 's3', /the listings of Swift lag behind writes/],
  ] as const)
    it(`warns on ${kind.name}, where it deletes nothing`, requires(...kind.needs), async () => {
      const buckets = await kind.start();
      const storage = await buckets.newBucket();
      const store = await storage.open();
      await fill(store);
      const before = await keysIn(store);
      const functions = await packagedFunctions([feature], () =>
        asInLambda({ ...storage.settings, ...enabled }),
      );
      try {
        const { lines, failed } = await invoke(functions);
        assert.equal(failed, false);
        assert.deepEqual(
          lines.map(({ level }) => level),
          ['warn'],
        );
        const message = String(lines[0]?.['msg']);
        assert.match(message, /^gc does not run: nothing is deleted in this storage: /);
        assert.match(message, reason);
        assert.deepEqual(await keysIn(store), before);
      } finally {
        await functions.stop();
        await buckets.stop();
      }
    });

  it('says that it is off, and names what is missing to turn it on', async () => {
    const storage = { REGISTRY_STORAGE_S3_BUCKET: 'images', REGISTRY_STORAGE_S3_REGION: 'eu-central-1' };
    const off = await packagedFunctions(['s3'], () => storage);
    const { lines, failed } = await invoke(off);
    assert.deepEqual(
      [failed, lines.map(({ level, msg }) => [level, msg])],
      [false, [['info', 'gc does not run: REGISTRY_GC_ENABLED is not true']]],
    );
    await off.stop();

    const half = await packagedFunctions(['s3'], () => ({ ...storage, REGISTRY_GC_ENABLED: 'true' }));
    const refused = await invoke(half);
    assert.equal(refused.failed, true);
    assert.match(
      String(refused.lines[0]?.['faults']),
      /REGISTRY_GC_ENABLED: needs REGISTRY_GC_EXCLUSIVE=true/,
    );
    await half.stop();
  });
});
