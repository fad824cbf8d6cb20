import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseTag, type Tag } from '../../lib/protocol/tags.ts';
import { immutableTagsWarning } from '../../lib/registry/immutable-tags.ts';
import { tagLink } from '../../lib/registry/layout.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { onScs, onSwift, onVersitygw } from '../servers/buckets.ts';
import { get, isDone, name, push, some } from './immutable-steps.ts';
import { intercepted } from './interrupted.ts';
import { onStores } from './on-stores.ts';

const pushers = 20;

/** Of two writers at once both succeed. */
const withoutConditions: readonly string[] = [onSwift.name, onScs.name];

/** It compares and writes in two steps: now and then two that come at once succeed. */
const comparesTwice: readonly string[] = [onVersitygw.name];

onStores('concurrent first pushes of an immutable tag', (store, kind) => {
  const isExact = () => store().limits.honoursOnlyIfAbsent && !comparesTwice.includes(kind);

  it('one of twenty concurrent first pushes wins an immutable tag for good, where the store can tell', async () => {
    for (const tag of ['v1', 'v2', 'v3']) {
      const all = Array.from({ length: pushers }, (_, i) => some(`${tag} ${i}`));
      const done = await Promise.all(all.map(async (bytes) => await isDone(push(store(), bytes, tag))));
      const won = all.filter((_, i) => done[i]);
      if (isExact()) assert.equal(won.length, 1);
      const current = await get(store(), tag);
      assert.ok(won.some((bytes) => bytes.equals(current)));
      const again = await Promise.all(all.map(async (bytes) => await isDone(push(store(), bytes, tag))));
      assert.deepEqual(
        again,
        all.map((bytes) => bytes.equals(current)),
      );
      assert.deepEqual(await get(store(), tag), current);
    }
  });

  it('all concurrent first pushes of the same manifest succeed', async () => {
    const bytes = some('same');
    await Promise.all(
      Array.from({ length: pushers }, async () => {
        await push(store(), bytes, 'v4');
      }),
    );
    assert.deepEqual(await get(store(), 'v4'), bytes);
  });

  /** Lets the first push look at the tag, and write it when the second is done. */
  const overtaken = async (tag: Tag, first: Buffer, second: Buffer): Promise<readonly boolean[]> => {
    let theirs: boolean | undefined;
    const late: ObjectStore = intercepted(store(), async (method, [key]) => {
      if (method === 'put' && key === tagLink(name, tag)) theirs ??= await isDone(push(store(), second, tag));
    });
    const mine = await isDone(push(late, first, tag));
    return [mine, theirs ?? assert.fail('nobody came between')];
  };

  it('two first pushes at the same moment both succeed only where the start warns of it, and the last one wins', async () => {
    const tag = parseTag('v5');
    const [first, second] = [some('first'), some('second')];
    const warning = immutableTagsWarning(store().limits) ?? '';
    const isWarned = warning !== '';
    assert.equal(isWarned, withoutConditions.includes(kind));
    if (isWarned) assert.match(warning, /may both succeed, and the last one wins/);
    assert.deepEqual(await overtaken(tag, first, second), [isWarned, true]);
    const winner = isWarned ? first : second;
    assert.deepEqual(await get(store(), tag), winner);
    assert.equal(await isDone(push(store(), isWarned ? second : first, tag)), false);
    assert.deepEqual(await get(store(), tag), winner);
  });
});
