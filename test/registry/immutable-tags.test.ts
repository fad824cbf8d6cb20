import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { open as openAccess } from '../../lib/access/callers.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { TagImmutable } from '../../lib/registry/interface.ts';
import { revisionLink, tagIndexLink, tagLink } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { withAccess } from '../../lib/registry/wrappers/with-access.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { indexType } from '../functions/client.ts';
import {
  digestOf,
  get,
  immutable,
  isDone,
  name,
  onlyIf,
  push,
  remove,
  rule,
  some,
  unlessThere,
} from './immutable-steps.ts';
import { intercepted, interrupted } from './interrupted.ts';
import { MemoryStore } from './memory-store.ts';

const v1 = parseTag('v1');
const link = tagLink(name, v1);
const denied = { failure: 'DENIED', status: 403, rule, tag: 'v1' };
const [first, second] = [some('first'), some('second')];

/** Stores that differ in what they do about a condition. */
const stores: Readonly<Record<string, () => MemoryStore>> = {
  'a store with conditional writes': () => new MemoryStore({ conditionalWrites: true }),
  'a store like a folder': () => new MemoryStore({ onlyIfAbsent: true }),
  'a store without conditional writes': () => new MemoryStore(),
};

for (const [what, open] of Object.entries(stores)) {
  describe(`an immutable tag on ${what}`, () => {
    pushes(open);
    deletes(open);
  });
  if (open().limits.honoursOnlyIfAbsent)
    describe(`an immutable tag that two push first, on ${what}`, () => {
      races(open);
    });
}

function pushes(open: () => MemoryStore): void {
  it('an immutable tag is created, and takes the same manifest again without a change', async () => {
    const store = open();
    await push(store, first, 'v1');
    const before = store.objects.get(link);
    await push(store, first, 'v1');
    await push(store, first, digestOf(first), { tags: [v1] });
    assert.equal(store.objects.get(link), before);
    assert.deepEqual(await get(store, 'v1'), first);
  });

  it('an immutable tag refuses another manifest, of which nothing is stored', async () => {
    const store = open();
    await push(store, first, 'v1');
    const before = new Map(store.objects);
    const message = `tag v1 is immutable: ${rule}; push another tag`;
    await assert.rejects(push(store, second, 'v1'), (error) => {
      assert.ok(error instanceof TagImmutable);
      assert.deepEqual([error.message, error.rule, error.status], [message, rule, 403]);
      assert.deepEqual(error.errors, [{ code: 'DENIED', message, detail: { tag: 'v1' } }]);
      return true;
    });
    assert.deepEqual(store.objects, before);
  });

  it('a tag that no rule keeps moves', async () => {
    const store = open();
    for (const bytes of [first, second]) await push(store, bytes, 'latest');
    assert.deepEqual(await get(store, 'latest'), second);
  });

  it('an immutable tag keeps all tags of a push where they are', async () => {
    const store = open();
    for (const tag of ['v1', 'latest']) await push(store, first, tag);
    const before = new Map(store.objects);
    const tags = ['latest', 'v2', 'v1', 'new'].map(parseTag);
    await assert.rejects(push(store, second, digestOf(second), { tags }), denied);
    assert.deepEqual(store.objects, before);
  });

  it('an immutable tag is refused by conditions as any other tag', async () => {
    const store = open();
    const unmet = { failure: 'PRECONDITION_FAILED' };
    await assert.rejects(push(store, first, 'v1', { conditions: onlyIf(first) }), unmet);
    await push(store, first, 'v1', { conditions: unlessThere });
    await assert.rejects(push(store, first, 'v1', { conditions: unlessThere }), unmet);
    await push(store, first, 'v1', { conditions: onlyIf(first) });
    // A condition that holds is no permission.
    await assert.rejects(push(store, second, 'v1', { conditions: onlyIf(first) }), denied);
  });

  it('an immutable tag exists though its link is damaged', async () => {
    const store = open();
    for (const tag of ['v1', 'latest']) await push(store, first, tag);
    await push(store, second, 'other');
    await store.put(link, Buffer.from('no digest'));
    const before = new Map(store.objects);
    for (const bytes of [first, second])
      await assert.rejects(push(store, bytes, 'v1'), { ...denied, message: /its link .* is damaged/ });
    await assert.rejects(remove(store, 'v1'), denied);
    // It was created with this manifest.
    await assert.rejects(remove(store, digestOf(first)), denied);
    assert.deepEqual(store.objects, before);
    await remove(store, digestOf(second));
    // Without a rule for it, a push repairs it.
    await push(store, first, 'v1', { immutable: () => undefined });
    assert.deepEqual(await get(store, 'v1'), first);
  });

  it('an immutable tag takes only its own manifest where that is gone', async () => {
    const store = open();
    await push(store, first, 'v1');
    // As distribution's garbage collection leaves it.
    await store.delete([revisionLink(name, digestOf(first))]);
    await assert.rejects(push(store, second, 'v1'), denied);
    await push(store, first, 'v1');
    assert.deepEqual(await get(store, 'v1'), first);
  });

  it('an immutable tag costs other tags no request, and itself two reads when it is created', async () => {
    const calls = async (work: (store: ObjectStore) => Promise<void>): Promise<string[]> => {
      const seen: string[] = [];
      const counted = intercepted(open(), (method) => seen.push(method));
      await work(counted);
      return seen.sort();
    };
    const asLatest = await calls(async (store) => {
      await push(store, first, 'latest');
    });
    const free = await calls(async (store) => {
      await push(store, first, 'latest', { immutable: () => undefined });
    });
    const created = await calls(async (store) => {
      await push(store, first, 'v1');
    });
    assert.deepEqual(asLatest, free);
    assert.deepEqual(created, [...free, 'read', 'read'].sort());
  });

  it('an immutable tag is known to a registry as its caller may use it', async () => {
    const store = open();
    const caller = await openAccess.authenticate({
      authorization: undefined,
      address: undefined,
      origin: '',
    });
    const registry = withAccess(createRegistry(store), {
      ...caller,
      immutableTags: (repository) => (repository === name ? immutable : undefined),
    });
    const put = async (bytes: Buffer) =>
      await registry.manifests.put(name, parseReference('v1'), bytes, indexType);
    await put(first);
    await assert.rejects(put(second), denied);
    await assert.rejects(registry.manifests.delete(name, parseReference('v1')), denied);
  });
}

function deletes(open: () => MemoryStore): void {
  it('an immutable tag is not deleted, by itself or with its manifest, nor is anything else of that', async () => {
    const store = open();
    for (const tag of ['latest', 'v1']) await push(store, first, tag);
    const before = new Map(store.objects);
    for (const reference of ['v1', digestOf(first)])
      await assert.rejects(remove(store, reference), {
        ...denied,
        message: `tag v1 is immutable: ${rule}; it cannot be deleted`,
      });
    assert.deepEqual(store.objects, before);
  });

  it('an immutable tag lets other tags and manifests be deleted', async () => {
    const store = open();
    for (const tag of ['latest', 'v1']) await push(store, first, tag);
    await push(store, second, 'moved');
    await remove(store, 'latest');
    await remove(store, digestOf(second));
    await assert.rejects(get(store, 'moved'), { failure: 'MANIFEST_UNKNOWN' });
    await assert.rejects(remove(store, 'v2'), { failure: 'MANIFEST_UNKNOWN' });
    assert.deepEqual(await get(store, 'v1'), first);
  });

  it('an immutable tag keeps its manifest, at whichever step of the delete it is pushed', async () => {
    for (let at = 0; ; at++) {
      const store = open();
      await push(store, first, 'latest');
      const { store: between, happened } = interrupted(store, at, async () => {
        await push(store, first, 'v1');
      });
      const deleted = await isDone(remove(between, digestOf(first)));
      assert.equal(deleted, !happened(), `after ${at} calls`);
      if (!happened()) break;
      assert.deepEqual(await get(store, 'v1'), first, `after ${at} calls`);
      assert.ok(at < 50);
    }
  });

  it('an immutable tag has its manifest, at whichever step of the push that is deleted', async () => {
    for (let at = 0; ; at++) {
      const store = open();
      await push(store, first, 'latest');
      const { store: between, happened } = interrupted(store, at, async () => {
        await isDone(remove(store, digestOf(first)));
      });
      await push(between, first, 'v1');
      assert.deepEqual(await get(store, 'v1'), first, `after ${at} calls`);
      if (!happened()) break;
      assert.ok(at < 50);
    }
  });
}

function races(open: () => MemoryStore): void {
  it('an immutable tag is what one of two first pushes has pushed, at whichever step the other comes', async () => {
    const outcomes = new Set<string>();
    for (let at = 0; ; at++) {
      const store = open();
      let theirs: boolean | undefined;
      const { store: between, happened } = interrupted(store, at, async () => {
        theirs = await isDone(push(store, second, 'v1'));
      });
      const mine = await isDone(push(between, first, 'v1'));
      if (!happened()) break;
      assert.notEqual(mine, theirs, `after ${at} calls`);
      outcomes.add(mine ? 'mine' : 'theirs');
      assert.deepEqual(await get(store, 'v1'), mine ? first : second);
      // The loser is not in its history.
      const lost = digestOf(mine ? second : first);
      assert.equal(store.objects.has(tagIndexLink(name, v1, lost)), false, `after ${at} calls`);
      assert.ok(at < 50);
    }
    assert.deepEqual([...outcomes].sort(), ['mine', 'theirs']);
  });

  it('two first pushes of the same manifest both succeed, unless the tag must be new', async () => {
    for (let at = 0; ; at++) {
      const [store, guarded] = [open(), open()];
      const both = interrupted(store, at, async () => {
        await push(store, first, 'v1');
      });
      await push(both.store, first, 'v1');
      assert.deepEqual(await get(store, 'v1'), first);
      let done = 0;
      const create = async (on: ObjectStore): Promise<void> => {
        await push(on, first, 'v1', { conditions: unlessThere }).then(
          () => (done += 1),
          (error: unknown) => {
            assert.match(String(error), /precondition/i);
          },
        );
      };
      const one = interrupted(guarded, at, async () => {
        await create(guarded);
      });
      await create(one.store);
      assert.equal(done, 1, `after ${at} calls`);
      if (!both.happened() && !one.happened()) break;
      assert.ok(at < 50);
    }
  });

  it('a push that loses the race for an immutable tag moves no other tag, and leaves its manifest without a tag', async () => {
    const store = open();
    await push(store, first, 'latest');
    const mine = some('mine');
    const racing = intercepted(store, async (method, [key]) => {
      if (method === 'put' && key === link) await push(store, second, 'v1');
    });
    const tags = ['v1', 'latest'].map(parseTag);
    await assert.rejects(push(racing, mine, digestOf(mine), { tags }), denied);
    assert.deepEqual(await get(store, 'latest'), first);
    // As after a push by digest: another client may rely on it by now.
    assert.deepEqual(await get(store, digestOf(mine)), mine);
  });

  it('a push of an immutable tag is refused where another writer creates and deletes it each time', async () => {
    const store = open();
    const flapping = intercepted(store, async (method, [key]) => {
      if (key !== link) return;
      if (method === 'put') await push(store, second, 'v1');
      else await store.delete([link]);
    });
    await assert.rejects(push(flapping, first, 'v1'), { ...denied, message: /push another tag/ });
  });
}
