import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { rightsOf } from '../../infra/stack/rights.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { keysIn, pause, shortFence, unitMs } from '../maintenance/collection/collecting.ts';
import { fill, type Filled } from '../maintenance/collection/filled-bucket.ts';
import { bucketProxy, type BucketProxy, type BucketRequest } from '../servers/bucket-proxy.ts';
import { onScs, onSwift, onVersitygw, proxied, type Buckets } from '../servers/buckets.ts';
import { asInLambda, packagedFunctions, type PackagedFunctions } from '../servers/packaged-functions.ts';
import { requires } from '../servers/requires.ts';
import { runBuild } from './run-node.ts';
import { parametersWith } from './stack/examples.ts';

const enabled = { REGISTRY_GC_ENABLED: 'true', REGISTRY_GC_EXCLUSIVE: 'true' } as const;

type Line = Readonly<Record<string, unknown>>;

before(async () => {
  const { code, output } = await runBuild();
  assert.equal(code, 0, output);
});

/** Runs the function once. @returns what it has logged, and whether it has failed */
async function invoke(functions: PackagedFunctions): Promise<{ lines: readonly Line[]; failed: boolean }> {
  const before = functions.output().length;
  const failed = await functions.run('gc').then(
    () => false,
    () => true,
  );
  // Its output comes by another way than its answer.
  await pause(500);
  const lines = functions.output().slice(before).trim().split('\n');
  return { lines: lines.map((line) => JSON.parse(line) as Line), failed };
}

function summaryIn(lines: readonly Line[]): Line {
  const found = lines.find(({ msg }) => msg === 'all garbage collection that was due is done');
  assert.ok(found !== undefined, JSON.stringify(lines));
  return found;
}

describe('the function gc on versitygw', requires('versitygw'), () => {
  let buckets: Buckets;
  let proxy: BucketProxy;
  let functions: PackagedFunctions;
  let store: ObjectStore;
  let filled: Filled;
  /** Of all invocations. */
  let requests: readonly BucketRequest[];
  let had: readonly string[];
  let condemned: Line;

  before(async () => {
    buckets = await onVersitygw.start();
    const storage = await buckets.newBucket();
    store = await storage.open();
    filled = await fill(store);
    await pause(unitMs);
    proxy = await bucketProxy(buckets.endpoint);
    const settings = {
      ...proxied(onVersitygw, storage, proxy),
      ...enabled,
      ...shortFence,
      REGISTRY_GC_DELAY: '6s',
      REGISTRY_GC_DELETEUNTAGGED: 'true',
      // As in a deployment.
      REGISTRY_STORAGE_S3_CONDITIONALWRITES: 'true',
    };
    functions = await packagedFunctions(['s3'], () => asInLambda(settings));
    requests = proxy.requests;
    had = await keysIn(store);
    // What is in the bucket is old, until there is a mark.
    proxy.agedMs = 2 * 24 * 3_600_000;
    proxy.intercept = ({ method, key }) => {
      if (method === 'PUT' && key.includes('/gc/marks/')) proxy.agedMs = 0;
      return 'pass';
    };
  });

  after(async () => {
    await functions.stop();
    await proxy.stop();
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
    const left = new Set(await keysIn(store));
    const written = requests.filter(({ operation }) => operation === 'PutObject').map(({ key }) => key);
    const seen = [
      ...requests.flatMap(({ operation, key }) =>
        operation === 'PutObject' || operation === 'GetObject' ? [`s3:${operation} ${key}`] : [],
      ),
      ...requests.flatMap(({ operation, key }) =>
        operation === 'HeadObject' ? [`s3:GetObject ${key}`] : [],
      ),
      ...[...had, ...written].filter((key) => !left.has(key)).map((key) => `s3:DeleteObject ${key}`),
    ];
    const allowed = rightsOf('gc', parametersWith(enabled)).flatMap(({ on, actions, source }) =>
      typeof on === 'object' && 'keys' in on && source === undefined
        ? actions.map((action) => `${action} ${on.keys}`)
        : [],
    );
    const patterns = allowed.map(
      (one) => new RegExp(`^${RegExp.escape(one).replaceAll('\\*', '.*').replaceAll('\\?', '.')}$`),
    );
    assert.deepEqual(
      seen.filter((one) => !patterns.some((pattern) => pattern.test(one))),
      [],
    );
    assert.deepEqual(
      allowed.filter((_, i) => !seen.some((one) => patterns[i]?.test(one))),
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
