import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { RetentionRule } from '../../lib/access/policy/storage-rules.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { pullRecord, repositoriesPrefix } from '../../lib/registry/layout.ts';
import { listObjects } from '../../lib/registry/list-objects.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { digestOfLink } from '../../lib/registry/repository-keys.ts';
import { applyRetention, type ApplyOptions } from '../../lib/retention/apply.ts';
import { cachesOf } from '../../lib/retention/cache-sizes.ts';
import { Plan } from '../../lib/retention/plan.ts';
import { recordPlanned } from '../../lib/retention/planned.ts';
import { pullNotesOf } from '../../lib/retention/pulls.ts';
import { FilledBucket, about, type Thing } from '../maintenance/collection/filled-bucket.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { day, retentionRules } from './rules.ts';

/** At any day, by the clock of which things are dated. */
class DatedStore extends MemoryStore {
  day = 0;

  constructor() {
    super({ now: () => new Date(Date.now() + this.day * day) });
  }
}

describe('the size of a cache', () => {
  let store: DatedStore;
  let bucket: FilledBucket;
  let registry: ReturnType<typeof createRegistry>;

  beforeEach(() => {
    store = new DatedStore();
    bucket = new FilledBucket(store);
    registry = createRegistry(store);
  });

  /** A layer that is much larger than all else of an image. */
  async function layer(repository: string, name: string): Promise<Thing> {
    const thing = bucket.thing(name, Buffer.alloc(100_000, name));
    await bucket.bytes(thing);
    await bucket.layerLink(repository, thing);
    return thing;
  }

  /** An image that came on a day. */
  async function image(
    at: number,
    repository: string,
    name: string,
    tag?: string,
    layers: readonly string[] = [name],
  ): Promise<Thing> {
    store.day = at;
    const things: Thing[] = [];
    for (const one of layers) things.push(await layer(repository, `${one}-layer`));
    const thing = await bucket.image(repository, name, things);
    if (tag !== undefined) await bucket.tag(repository, tag, thing);
    return thing;
  }

  async function pull(at: number, repository: string, reference: string): Promise<void> {
    store.day = at;
    await store.put(pullRecord(parseRepositoryName(repository), parseReference(reference)), Buffer.from(''));
  }

  const rulesOf = (layers: number) =>
    retentionRules(`{ repositories: hub/**, keep: { size: ${layers * 100 + 50} kB }, otherwise: delete }`);

  const context = (rules: readonly RetentionRule[], prefixes = ['hub/']): ApplyOptions => ({
    store,
    registry,
    rules,
    immutable: () => undefined,
    keeps: true,
    caches: cachesOf(
      prefixes.map((prefix) => ({ prefix })),
      registry.catalog,
    ),
    now: () => Date.now() + store.day * day,
  });

  /** Applies rules that were planned, for which pulls are recorded since the first day. */
  async function apply(at: number, rules: readonly RetentionRule[], prefixes?: readonly string[]) {
    store.day = 0;
    for (const key of pullNotesOf(rules).values()) await store.put(key, Buffer.from(''));
    store.day = at;
    await recordPlanned(store, rules);
    const removed: string[] = [];
    const { failed } = await applyRetention({
      ...context(rules, prefixes && [...prefixes]),
      onRemoved: (one) => removed.push('tag' in one ? one.tag : bucket.nameOf(one.digest)),
    });
    assert.equal(failed, 0);
    return removed.sort();
  }

  /** The manifests that repositories have. */
  async function manifests(): Promise<string[]> {
    const keys = await Array.fromAsync(listObjects(store, repositoriesPrefix));
    return keys
      .filter(({ key }) => key.includes('/revisions/'))
      .map(({ key }) => bucket.nameOf(digestOfLink(key) ?? ''))
      .sort();
  }

  it('keeps what was used last, in all repositories together', async () => {
    await image(1, 'hub/a', 'old', 'old');
    await image(2, 'hub/a', 'pulled', 'pulled');
    await image(3, 'hub/b', 'idle', 'idle');
    await image(4, 'hub/b', 'new', 'new');
    await pull(5, 'hub/a', 'pulled');
    assert.deepEqual(await apply(6, rulesOf(4)), []);
    assert.deepEqual(await apply(6, rulesOf(3)), ['old', 'old']);
    assert.deepEqual(await manifests(), ['idle', 'new', 'pulled']);
    assert.deepEqual(await apply(6, rulesOf(2)), ['idle', 'idle']);
    assert.deepEqual(await apply(6, rulesOf(2)), []);
  });

  it('counts a layer once that images share, at its last use', async () => {
    await image(1, 'hub/a', 'one', 'one', ['base', 'one']);
    await image(2, 'hub/b', 'two', 'two', ['base', 'two']);
    await image(3, 'hub/c', 'three', 'three', ['base', 'three']);
    assert.deepEqual(await apply(6, rulesOf(4)), []);
    assert.deepEqual(await apply(6, rulesOf(3)), ['one', 'one']);
  });

  it('counts no layer that was not pulled', async () => {
    const never = bucket.some('never');
    await bucket.tag(
      'hub/a',
      'v1',
      await bucket.image('hub/a', 'inspected', [{ ...never, bytes: Buffer.alloc(1e6) }]),
    );
    await image(1, 'hub/a', 'pulled', 'v2');
    assert.deepEqual(await apply(6, rulesOf(1)), []);
  });

  it('counts images that were pulled by their digest alone, and takes them', async () => {
    await image(1, 'hub/a', 'old');
    const pulled = await image(2, 'hub/a', 'pulled');
    await image(3, 'hub/a', 'tagged', 'tagged');
    await pull(4, 'hub/a', pulled.digest);
    assert.deepEqual(await apply(6, rulesOf(2)), ['old']);
    assert.deepEqual(await apply(6, rulesOf(1)), ['tagged', 'tagged']);
    assert.deepEqual(await manifests(), ['pulled']);
  });

  it('takes an index with its images, but for those that are pulled by their digest', async () => {
    const [used, idle] = [await image(1, 'hub/a', 'used'), await image(1, 'hub/a', 'idle')];
    await bucket.tag('hub/a', 'v1', await bucket.index('hub/a', 'index', [used, idle, bucket.some('never')]));
    await pull(2, 'hub/a', 'v1');
    await image(3, 'hub/b', 'other', 'other');
    await pull(4, 'hub/a', used.digest);
    assert.deepEqual(await apply(6, rulesOf(3)), []);
    assert.deepEqual(await apply(6, rulesOf(2)), ['idle', 'index', 'v1']);
    assert.deepEqual(await manifests(), ['other', 'used']);
  });

  it('an index that is used keeps its images, and what is about them', async () => {
    const child = await image(1, 'hub/a', 'child');
    await bucket.image('hub/a', 'about the child', [], about(child));
    await image(2, 'hub/b', 'other', 'other');
    await bucket.tag('hub/a', 'v1', await bucket.index('hub/a', 'index', [child]));
    await pull(4, 'hub/a', 'v1');
    assert.deepEqual(await apply(6, rulesOf(1)), ['other', 'other']);
    assert.deepEqual(await manifests(), ['about the child', 'child', 'index']);
  });

  it('never takes what is one’s own, whatever a pattern matches', async () => {
    // hub/** matches it, and no upstream has it.
    await image(1, 'hub', 'own', 'v1');
    await image(1, 'other', 'another', 'v1');
    await image(1, 'hub/a', 'cached', 'v1');
    const rules = retentionRules(`{ repositories: hub/**, keep: { size: 1 kB }, otherwise: delete }`);
    assert.deepEqual(await apply(6, rules), ['cached', 'v1']);
    assert.deepEqual(await manifests(), ['another', 'own']);
  });

  it('is refused for other repositories', async () => {
    for (const [repositories, prefixes, message] of [
      [
        'team/**',
        ['hub/'],
        /^Error: retention 1, line 2 has a size, .*team\/\*\* is none.*: the caches are hub\/\*\*$/,
      ],
      ['[hub/**, "**/a"]', ['hub/'], /\*\*\/a is none/],
      ['hub*/**', ['hub/'], /hub\*\/\*\* is none/],
      ['hub/**', [], /they name no upstream/],
    ] as const) {
      const rules = retentionRules(
        `{ repositories: ${repositories}, keep: { size: 1 GB }, otherwise: delete }`,
      );
      await assert.rejects(apply(6, rules, prefixes), message);
      await assert.rejects(Plan.open(context(rules, [...prefixes])), message);
    }
  });

  it('may be that of a whole registry', async () => {
    await image(1, 'library/a', 'old', 'old');
    await image(2, 'library/b', 'new', 'new');
    const rules = retentionRules(`{ repositories: '**', keep: { size: 150 kB }, otherwise: delete }`);
    assert.deepEqual(await apply(6, rules, ['']), ['old', 'old']);
  });

  it('takes nothing before pulls were recorded for a day', async () => {
    await image(1, 'hub/a', 'old', 'old');
    assert.deepEqual(await apply(0.9, rulesOf(0)), []);
    assert.deepEqual(await apply(1.1, rulesOf(0)), ['old', 'old']);
  });

  it('plans what it takes, and takes nothing that was not planned', async () => {
    await image(1, 'hub/a', 'old', 'old');
    const single = await image(1, 'hub/a', 'single');
    const rules = rulesOf(0);
    const [rule] = rules;
    assert.ok(rule !== undefined);
    for (const key of pullNotesOf(rules).values()) await store.put(key, Buffer.from(''));
    store.day = 6;
    assert.equal((await applyRetention(context(rules))).unplanned.length, 1);
    assert.deepEqual(await manifests(), ['old', 'single']);
    const plan = await Plan.open(context(rules));
    const name = parseRepositoryName('hub/a');
    const tags = await plan.of(name, rule);
    assert.deepEqual(
      tags.map(({ tag, removes, reason }) => [tag, removes, reason]),
      [['old', true, 'nothing keeps it (otherwise: delete)']],
    );
    const gone = new Set(tags.map(({ tag }) => tag));
    const untagged = await plan.untagged(name, rule, gone);
    assert.deepEqual(untagged.map(({ digest }) => bucket.nameOf(digest)).sort(), ['old', 'single']);
    assert.deepEqual(
      (await plan.untagged(name, rule)).map(({ digest }) => digest as string),
      [single.digest],
    );
  });

  it('keeps what another keep of the rule keeps', async () => {
    await image(1, 'hub/a', 'old');
    await image(4, 'hub/a', 'young');
    await image(1, 'hub/a', 'first', 'first');
    await image(2, 'hub/a', 'second', 'second');
    const rules = retentionRules(
      '{ repositories: hub/**, keep: { size: 1 kB, newest: 1, pushedWithin: 3d }, otherwise: delete }',
    );
    assert.deepEqual(await apply(6, rules), ['first', 'first', 'old']);
  });

  it('that takes too long to look at removes nothing, and says so', async () => {
    await image(1, 'hub/a', 'old', 'old');
    const rules = rulesOf(0);
    for (const key of pullNotesOf(rules).values()) await store.put(key, Buffer.from(''));
    store.day = 6;
    await recordPlanned(store, rules);
    const failures: string[] = [];
    let asked = 0;
    const { failed } = await applyRetention({
      ...context(rules),
      isOver: () => asked++ === 0,
      onFailure: (what, error) => failures.push(`${what}: ${String(error)}`),
    });
    assert.equal(failed, 1);
    assert.match(failures.join(), /^retention 1, line 2: Error: its caches have too much/);
    assert.deepEqual(await manifests(), ['old']);
  });
});
