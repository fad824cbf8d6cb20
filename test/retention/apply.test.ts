import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { RetentionRule } from '../../lib/access/policy/storage-rules.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { expiriesKey, revisionLink, tagLink } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { restoreTag } from '../../lib/registry/undo/restore-tag.ts';
import { applyRetention, type Applied, type ApplyOptions } from '../../lib/retention/apply.ts';
import { Plan } from '../../lib/retention/plan.ts';
import { recordPlanned } from '../../lib/retention/planned.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { onStores } from '../registry/on-stores.ts';
import { freshName, pull, pushImage, pushIndex, tagsOf, v1 } from '../registry/undo/images.ts';
import { pushIndexOf, pushLabelled } from './images.ts';
import { day, retentionRules } from './rules.ts';

const label = 'quay.expires-after';

/** So many days later, by the clock of a store. */
const later = (store: ObjectStore, days: number) => () =>
  Date.now() + (store.clockOffsetMs ?? 0) + days * day;

async function apply(
  store: ObjectStore,
  rules: readonly RetentionRule[],
  options: Partial<ApplyOptions> = {},
): Promise<Applied> {
  return await applyRetention({
    store,
    registry: createRegistry(store),
    rules,
    immutable: () => undefined,
    keeps: true,
    ...options,
  });
}

/** Plans rules, and applies them some days later. */
async function planAndApply(
  store: ObjectStore,
  rules: readonly RetentionRule[],
  days: number,
  options: Partial<ApplyOptions> = {},
): Promise<Applied> {
  await recordPlanned(store, rules);
  return await apply(store, rules, { now: later(store, days), ...options });
}

/** A store whose next look at a tag's link comes after something else. */
function beforeLookAt(store: ObjectStore, key: string, first: () => Promise<void>): ObjectStore {
  let isDone = false;
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const method = value.bind(target) as (...args: readonly unknown[]) => unknown;
      if (property !== 'head') return method;
      return async (...args: readonly unknown[]) => {
        if (args[0] === key && !isDone) {
          isDone = true;
          await first();
        }
        return await method(...args);
      };
    },
  });
}

onStores('retention', (store) => {
  it('removes tags that nothing keeps, which then come back by stowage restore', async () => {
    const name = freshName();
    const { digest } = await pushImage(store(), name, 'v1', 'v2');
    await pushImage(store(), name, 'latest');
    const rules = retentionRules(
      `{ repositories: ${name}, tags: ["*", "!latest"], keep: { pushedWithin: 7d }, otherwise: delete }`,
    );
    const early = await planAndApply(store(), rules, 6);
    assert.deepEqual([early.removed, await tagsOf(store(), name)], [0, ['latest', 'v1', 'v2']]);
    const removed: string[] = [];
    const onRemoved: ApplyOptions['onRemoved'] = (one) => {
      removed.push(`${one.repository}:${'tag' in one ? one.tag : ''} ${one.rule.label}`);
    };
    const applied = await planAndApply(store(), rules, 8, { onRemoved });
    assert.deepEqual(applied, {
      removed: 2,
      evicted: 0,
      changed: 0,
      failed: 0,
      unplanned: [],
      stoppedAfter: undefined,
    });
    assert.deepEqual(removed.sort(), [`${name}:v1 retention 1`, `${name}:v2 retention 1`]);
    assert.deepEqual(await tagsOf(store(), name), ['latest']);
    assert.equal(await pull(store(), name, digest), digest);
    await restoreTag(store(), name, v1);
    assert.equal(await pull(store(), name, v1), digest);
    // It counts as pushed by that, so that it is not removed again at once.
    assert.equal((await planAndApply(store(), rules, 6)).removed, 0);
  });

  it('removes nothing by a rule that was not planned as it is, and applies the others', async () => {
    const [planned, unplanned] = [freshName(), freshName()];
    for (const name of [planned, unplanned]) await pushImage(store(), name, 'v1');
    const rule = (name: RepositoryName, days: number) =>
      `{ repositories: ${name}, keep: { pushedWithin: ${days}d }, otherwise: delete }`;
    await recordPlanned(store(), retentionRules(rule(planned, 7), rule(unplanned, 7)));
    const changed = retentionRules(rule(planned, 7), rule(unplanned, 6));
    const applied = await apply(store(), changed, { now: later(store(), 30) });
    assert.deepEqual([applied.removed, applied.unplanned.map(({ label: one }) => one)], [1, ['retention 2']]);
    assert.deepEqual(await tagsOf(store(), unplanned), ['v1']);
    assert.equal((await planAndApply(store(), changed, 30)).removed, 1);
    assert.deepEqual(await tagsOf(store(), unplanned), []);
  });

  it('removes no immutable tag, and no manifest of an index', async () => {
    const name = freshName();
    const image = await pushImage(store(), name, 'amd64');
    const index = await pushIndex(store(), name, [image], 'v1');
    const rules = retentionRules(`{ repositories: ${name}, keep: { pushedWithin: 1d }, otherwise: delete }`);
    const immutable = () => (tag: string) => (tag === 'v1' ? 'immutable-tags 1' : undefined);
    assert.equal((await planAndApply(store(), rules, 2, { immutable })).removed, 1);
    assert.deepEqual(await tagsOf(store(), name), ['v1']);
    assert.equal(await pull(store(), name, v1), index);
  });

  it('leaves a tag that was pushed after it was looked at', async () => {
    const name = freshName();
    await pushImage(store(), name, 'v1');
    const rules = retentionRules(`{ repositories: ${name}, keep: { pushedWithin: 1d }, otherwise: delete }`);
    let pushed = '';
    const racing = beforeLookAt(store(), tagLink(name, v1), async () => {
      pushed = (await pushImage(store(), name, 'v1')).digest;
    });
    const applied = await planAndApply(racing, rules, 2);
    assert.deepEqual([applied.removed, applied.changed], [0, 1]);
    assert.equal(await pull(store(), name, v1), pushed);
  });

  it('leaves a tag that moves between the last look and the delete', async () => {
    const name = freshName();
    await pushImage(store(), name, 'v1');
    const rules = retentionRules(`{ repositories: ${name}, keep: { pushedWithin: 1d }, otherwise: delete }`);
    const registry = createRegistry(store());
    let pushed = '';
    const racing = {
      ...registry,
      manifests: {
        ...registry.manifests,
        delete: async (...args: Parameters<typeof registry.manifests.delete>) => {
          pushed = (await pushImage(store(), name, 'v1')).digest;
          await registry.manifests.delete(...args);
        },
      },
    };
    const applied = await planAndApply(store(), rules, 2, { registry: racing });
    assert.deepEqual([applied.removed, applied.changed], [0, 1]);
    assert.equal(await pull(store(), name, v1), pushed);
  });

  it('removes a tag whose manifest is gone, unless it was pushed since', async () => {
    const name = freshName();
    for (const tag of ['v1', 'v2', 'v3']) {
      const { digest } = await pushImage(store(), name, tag);
      // As distribution deletes a manifest.
      if (tag !== 'v3') await store().delete([revisionLink(name, digest)]);
    }
    const rules = retentionRules(`{ repositories: ${name}, keep: { pushedWithin: 1d }, otherwise: delete }`);
    const [rule] = rules;
    assert.ok(rule !== undefined);
    const context = { store: store(), rules, immutable: () => undefined, keeps: true };
    const plan = await Plan.open({ ...context, now: later(store(), 2) });
    assert.deepEqual(
      (await plan.of(name, rule)).map(({ tag, removes, reason }) => [tag, removes, reason]),
      [
        ['v1', true, 'nothing keeps it (otherwise: delete); its manifest is gone'],
        ['v2', true, 'nothing keeps it (otherwise: delete); its manifest is gone'],
        ['v3', true, 'nothing keeps it (otherwise: delete)'],
      ],
    );
    let pushed = '';
    const registry = createRegistry(store());
    const racing = {
      ...registry,
      manifests: {
        ...registry.manifests,
        delete: async (...args: Parameters<typeof registry.manifests.delete>) => {
          const [, reference] = args;
          if (reference.kind === 'tag' && reference.tag === v1)
            pushed = (await pushImage(store(), name, 'v1')).digest;
          await registry.manifests.delete(...args);
        },
      },
    };
    const applied = await planAndApply(store(), rules, 2, { registry: racing });
    assert.deepEqual([applied.removed, applied.changed], [2, 1]);
    assert.deepEqual(await tagsOf(store(), name), ['v1']);
    assert.equal(await pull(store(), name, v1), pushed);
  });

  it('stops between repositories, and goes on after the last', async () => {
    const names = [freshName(), freshName(), freshName()].sort();
    for (const name of names) await pushImage(store(), name, 'v1');
    const rules = retentionRules(
      `{ repositories: [${names.join()}], keep: { pushedWithin: 1d }, otherwise: delete }`,
    );
    const first = await planAndApply(store(), rules, 2, {
      after: names[0],
      isOver: () => false,
    });
    assert.equal(first.removed, 2);
    let asked = 0;
    const stopped = await planAndApply(store(), rules, 2, { isOver: () => ++asked > 1 });
    assert.notEqual(stopped.stoppedAfter, undefined);
    const rest = await planAndApply(store(), rules, 2, { after: stopped.stoppedAfter });
    assert.equal(stopped.removed + rest.removed, 1);
  });

  it('goes by the labels of images, and reads each once', async () => {
    const name = freshName();
    const short = await pushLabelled(store(), name, { [label]: '2d' }, 'short');
    const long = await pushLabelled(store(), name, { [label]: '2w' }, 'long');
    const none = await pushLabelled(store(), name, {}, 'none');
    await pushLabelled(store(), name, { [label]: 'never' }, 'wrong');
    await pushLabelled(store(), name, { [label]: 5 }, 'number');
    await pushImage(store(), name, 'other');
    const entry = ({ digest, bytes }: typeof short) => ({ digest, size: bytes.length });
    await pushIndexOf(store(), name, [entry(short), entry(long)], {}, 'both');
    await pushIndexOf(store(), name, [entry(short), entry(none)], {}, 'one');
    await pushIndexOf(store(), name, [entry(none)], { annotations: { [label]: '12h' } }, 'annotated');
    const attestation = {
      ...entry(none),
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    };
    await pushIndexOf(store(), name, [entry(short), attestation], {}, 'attested');
    const rules = retentionRules(`{ repositories: ${name}, expires: label }`);
    const context = { store: store(), rules, immutable: () => undefined, keeps: true };
    const [rule] = rules;
    assert.ok(rule !== undefined);
    const doomed = async (days: number) => {
      const plan = await Plan.open({ ...context, now: later(store(), days) });
      return (await plan.of(name, rule)).filter(({ removes }) => removes).map(({ tag }) => tag);
    };
    assert.deepEqual(await doomed(1), ['annotated']);
    assert.deepEqual(await doomed(3), ['annotated', 'attested', 'short']);
    assert.deepEqual(await doomed(15), ['annotated', 'attested', 'both', 'long', 'short']);
    // Without the images, only what is kept tells.
    const reading = countReads(store());
    const plan = await Plan.open({ ...context, store: reading.store, now: later(store(), 15) });
    assert.equal((await plan.of(name, rule)).filter(({ removes }) => removes).length, 5);
    assert.deepEqual(
      reading.keys.filter((key) => key.includes('/blobs/')),
      [],
    );
    // What is kept may be lost or damaged.
    await store().put(expiriesKey(name), Buffer.from('{"version":1,"labels":{"x":'));
    assert.equal((await doomed(15)).length, 5);
    assert.equal((await planAndApply(store(), rules, 15)).removed, 5);
    assert.deepEqual(await tagsOf(store(), name), ['none', 'number', 'one', 'other', 'wrong']);
  });
});

/** Notes the keys that are read. */
function countReads(store: ObjectStore) {
  const keys: string[] = [];
  const counting = new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const method = value.bind(target) as (...args: readonly unknown[]) => unknown;
      return (...args: readonly unknown[]) => {
        if (property === 'read' || property === 'open') keys.push(String(args[0]));
        return method(...args);
      };
    },
  });
  return { keys, store: counting };
}
