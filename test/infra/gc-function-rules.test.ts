import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { policyKey } from '../../infra/stack/environment.ts';
import { parsePolicy } from '../../lib/access/policy/parse.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import {
  blobData,
  deletionRecordsPrefix,
  pendingPrefix,
  quotaPush,
  quotaUsed,
  retentionApplied,
} from '../../lib/registry/layout.ts';
import { PendingIntents } from '../../lib/registry/outbox/pending.ts';
import { QuotaRules } from '../../lib/registry/quotas/quota.ts';
import { readSum } from '../../lib/registry/quotas/sum.ts';
import { removeObjects } from '../../lib/registry/remove-objects.ts';
import { recordPlanned } from '../../lib/retention/planned.ts';
import { pullNotesOf } from '../../lib/retention/pulls.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { keysIn, pause } from '../maintenance/collection/collecting.ts';
import { pushImage, remove, tagsOf, type PushedImage } from '../registry/undo/images.ts';
import type { BucketProxy } from '../servers/bucket-proxy.ts';
import { onVersitygw, type Buckets } from '../servers/buckets.ts';
import type { PackagedFunctions } from '../servers/packaged-functions.ts';
import { requires } from '../servers/requires.ts';
import {
  actionsSeen,
  agedUntilMark,
  allowedActions,
  invoke,
  isAllowed,
  startFunction,
  summaryIn,
  type StartedFunction,
} from './gc-function.ts';
import { runBuild } from './run-node.ts';

const day = 24 * 3_600_000;

const policy = `
immutable-tags:
  - { repositories: 'team/**', tags: [fixed] }
retention:
  - repositories: team/app
    tags: ['*', '!latest']
    keep: { pushedWithin: 1d, pulledWithin: 1d }
    otherwise: delete
    untaggedAfter: 1d
  - { repositories: team/new, keep: { pushedWithin: 1d }, otherwise: delete }
quotas:
  - { repositories: 'team/**', quota: 1 GB }
rules:
  - { name: all, who: admin, repositories: '**', allow: '*' }
`;

const [app, unplanned] = [parseRepositoryName('team/app'), parseRepositoryName('team/new')];

const endpoints = {
  REGISTRY_NOTIFICATIONS_ENDPOINTS: '[{name: audit, url: "https://audit.example.com/"}]',
};

const sizeOf = (...images: readonly PushedImage[]) =>
  images.reduce((sum, { bytes }) => sum + bytes.length + 30 + 40, 0);

describe('the function gc follows the rules of the policy', requires('versitygw'), () => {
  const {
    content: { retention, quotas },
  } = parsePolicy(policy);
  const quota = new QuotaRules(quotas).all[0]?.id ?? '';
  let buckets: Buckets;
  let proxy: BucketProxy;
  let functions: PackagedFunctions;
  let started: StartedFunction;
  let store: ObjectStore;
  let had: readonly string[];
  let old: readonly PushedImage[];
  let deleted: PushedImage;
  let kept: readonly PushedImage[];
  /** Keys that a test has removed. */
  let forgotten: readonly string[];

  before(async () => {
    const { code, output } = await runBuild();
    assert.equal(code, 0, output);
    buckets = await onVersitygw.start();
    const storage = await buckets.newBucket();
    store = await storage.open();
    // The history of a tag has both.
    old = [await pushImage(store, app, 'v1', 'v2'), await pushImage(store, app, 'v1')];
    deleted = await pushImage(store, app, 'wrong');
    await remove(store, app, 'wrong');
    kept = [await pushImage(store, app, 'latest', 'fixed'), await pushImage(store, unplanned, 'v1')];
    for (const key of pullNotesOf(retention).values()) await store.put(key, Buffer.from(''));
    // What other rules have left, and a push that is in the sum.
    await store.put('docker/registry/v2/pulled/_since/0123', Buffer.from(''));
    await store.put(quotaUsed('0123456789abcdef'), Buffer.from(''));
    await store.put(quotaPush(quota, '01234567', deleted.digest, deleted.bytes.length), Buffer.from(''));
    await store.put(policyKey, Buffer.from(policy));
    started = await startFunction(buckets, storage, ['policy', 'events'], {
      ...endpoints,
      REGISTRY_AUTH: 'policy',
      REGISTRY_AUTH_POLICY_OBJECT: policyKey,
      REGISTRY_PROXY_UPSTREAMS: '[{prefix: hub/**, url: "https://upstream.example.com"}]',
    });
    ({ functions, proxy } = started);
    had = await keysIn(store);
  });

  after(async () => {
    await started.stop();
    await buckets.stop();
  });

  it('removes nothing by rules that were not planned, names them, and collects all the same', async () => {
    // Nothing is old enough to go yet.
    const { lines, failed } = await invoke(functions);
    assert.equal(failed, true);
    const errors = lines.filter(({ level }) => level === 'error').map(({ msg }) => String(msg));
    assert.match(errors[0] ?? '', /not planned .*\(retention 1, line 5; retention 2, line 10\)$/);
    assert.equal(summaryIn(lines)['condemned'], null);
    assert.deepEqual(await tagsOf(store, app), ['fixed', 'latest', 'v1', 'v2']);
    assert.equal((await readSum(store, quota))?.bytes, sizeOf(...old, deleted, ...kept));
  });

  it('removes tags by a rule that was planned, a day later', async () => {
    await recordPlanned(store, retention.slice(0, 1));
    // Each rule looks at what the rules before it are about, so the first is as it was.
    const soon = await invoke(functions);
    assert.equal(soon.failed, false);
    assert.deepEqual(await tagsOf(store, app), ['fixed', 'latest', 'v1', 'v2']);
    agedUntilMark(proxy, 4 * day);
    const { lines, failed } = await invoke(functions);
    assert.equal(failed, true);
    assert.ok(lines.some(({ msg }) => /not planned .*\(retention 2, line 10\)$/.test(String(msg))));
    assert.deepEqual(await tagsOf(store, app), ['fixed', 'latest']);
    assert.deepEqual(await tagsOf(store, unplanned), ['v1']);
    const audited = lines.filter(({ audit }) => audit === true);
    assert.deepEqual(
      audited
        .map(({ actor, command, repository, tag, rule }) => [actor, command, repository, tag, rule])
        .sort(),
      ['v1', 'v2'].map((tag) => ['function:gc', 'retention apply', app, tag, 'retention 1, line 5']),
    );
    // They have lost their last tag just now.
    assert.equal(summaryIn(lines)['condemned'], null);
    const told = (await Array.fromAsync(new PendingIntents(store).list()))
      .flat()
      .map(({ intent: { change, context } }) => [
        context.actor,
        change.action,
        'tag' in change ? change.tag : undefined,
      ]);
    assert.deepEqual(
      told.sort(),
      ['v1', 'v2'].map((tag) => ['stowage retention apply', 'deleted', tag]),
    );
  });

  it('condemns manifests that have had no tag for as long as their rule says', async () => {
    // As if that was long ago.
    const records = deletionRecordsPrefix(app);
    forgotten = (await keysIn(store)).filter((key) => key.startsWith(records));
    await removeObjects(store, records);
    const found = summaryIn((await invoke(functions)).lines)['found'] as { freed: { manifests: number } };
    assert.equal(found.freed.manifests, 3);
  });

  it('deletes them after the delay, and sums what is left at the next look', async () => {
    await pause(7000);
    const { failed } = await invoke(functions);
    assert.equal(failed, false);
    const left = await keysIn(store);
    for (const { digest, blobs } of [...old, deleted])
      assert.deepEqual(
        [digest, ...blobs].filter((one) => left.includes(blobData(one))),
        [],
      );
    for (const { digest, blobs } of kept)
      assert.deepEqual(
        [digest, ...blobs].filter((one) => !left.includes(blobData(one))),
        [],
      );
    assert.equal((await readSum(store, quota))?.bytes, sizeOf(...old, deleted, ...kept));
    proxy.agedMs = 2 * day;
    await invoke(functions);
    proxy.agedMs = 0;
    assert.equal((await readSum(store, quota))?.bytes, sizeOf(...kept));
    assert.deepEqual(
      (await keysIn(store)).filter((key) => key.includes('/quotas/')),
      [quotaUsed(quota)],
    );
  });

  it('goes on with what another invocation had to leave', async () => {
    await store.put(retentionApplied, Buffer.from('{"version":1,"after":"team/app"}'));
    const { lines } = await invoke(functions);
    assert.ok(lines.some(({ msg }) => msg === 'the rules for retention are applied'));
  });

  it('empties a cache down to the size of its rule, with what has no tag', async () => {
    const cached = parseRepositoryName('hub/app');
    const images = [await pushImage(store, cached, 'v1'), await pushImage(store, cached)];
    const text =
      "retention:\n  - { repositories: 'hub/**', keep: { size: 1 B }, otherwise: delete }\nrules: []\n";
    const rules = parsePolicy(text).content.retention;
    for (const key of pullNotesOf(rules).values()) await store.put(key, Buffer.from(''));
    await store.put(policyKey, Buffer.from(text));
    await recordPlanned(store, rules);
    proxy.agedMs = 2 * day;
    const { lines, failed } = await invoke(functions);
    proxy.agedMs = 0;
    assert.equal(failed, false);
    const audited = lines.filter(({ audit, repository }) => audit === true && repository === cached);
    assert.deepEqual(
      audited.map(({ tag, digest }) => tag ?? digest).sort(),
      [...images.map(({ digest }) => digest), 'v1'].sort(),
    );
    assert.deepEqual(await tagsOf(store, cached), []);
  });

  it('collects while the policy is broken, and fails', async () => {
    await store.put(policyKey, Buffer.from('retention: [{ keep: 1 }]'));
    const { lines, failed } = await invoke(functions);
    assert.equal(failed, true);
    assert.ok(lines.some(({ msg }) => msg === 'the rules for retention are not followed'));
    summaryIn(lines);
  });

  it('has the rights that its requests need, and no others', async () => {
    const byTest = new Set(forgotten.map((key) => `s3:DeleteObject ${key}`));
    const seen = (await actionsSeen(proxy, store, had)).filter((one) => !byTest.has(one));
    // A delete that is refused at its second attempt takes back the event of the first one.
    const allowed = allowedActions(endpoints).filter((one) => one !== `s3:DeleteObject ${pendingPrefix}*`);
    assert.deepEqual(
      seen.filter((one) => !isAllowed(one, allowed)),
      [],
    );
    // The others are tried where there are no rules.
    const without = allowedActions({ auth: 'none' });
    assert.deepEqual(
      allowed.filter((one) => !without.includes(one) && !seen.some((action) => isAllowed(action, [one]))),
      [],
    );
  });
});
