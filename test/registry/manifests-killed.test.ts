import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDigest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { blobData, layerLink, repositoryPrefix } from '../../lib/registry/layout.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { Tags } from '../../lib/registry/tags.ts';
import type { NewObject, ObjectStore } from '../../lib/storage/store.ts';
import {
  assertFolderExists,
  assertUnknown,
  byDigest,
  digestOf,
  fresh,
  image,
  push,
  registry,
  store,
  tagged,
  tagsOf,
} from './manifest-steps.ts';

/** Thrown by every call of a store after a process was killed. */
class Killed extends Error {}

interface KillOptions {
  /** After how many changes. */
  readonly after: number;
  /** Whether the next change is still made, and only its answer lost. */
  readonly done: boolean;
  /** Order in which a delete of several keys takes them; no store promises one. */
  readonly order?: 'forward' | 'backward';
  /** Whether objects that are written together appear one after another, as in a folder; otherwise all at once, as in a bucket. */
  readonly inOrder?: boolean;
}

/**
 * The store of a process that is killed between two changes of the bucket. One delete of several keys counts as that
 * many: a store may be interrupted among them.
 */
function killed({ after, done, order = 'forward', inOrder = true }: KillOptions): {
  store: ObjectStore;
  wasKilled: () => boolean;
} {
  let left = after;
  let dead = false;
  const change = async (make: () => Promise<unknown>): Promise<unknown> => {
    if (dead) throw new Killed();
    left -= 1;
    if (left >= 0) return await make();
    dead = true;
    if (done) await make();
    throw new Killed();
  };
  const proxy = new Proxy<ObjectStore>(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== 'function') return value;
      const call = async (...args: unknown[]): Promise<unknown> =>
        (await Reflect.apply(value, target, args)) as unknown;
      if (property === 'delete')
        return async (keys: readonly string[]) => {
          for (const key of order === 'forward' ? keys : keys.toReversed())
            await change(async () => await call([key]));
        };
      if (property === 'put')
        return async (...args: unknown[]) => await change(async () => await call(...args));
      if (property === 'putInOrder')
        return inOrder
          ? async (objects: readonly NewObject[]) => {
              for (const object of objects) await change(async () => await call([object]));
            }
          : undefined;
      return async (...args: unknown[]) => {
        if (dead) throw new Killed();
        return await call(...args);
      };
    },
  });
  return { store: proxy, wasKilled: () => dead };
}

/** Runs a request once for each change it makes, killed there; and its check after each. */
async function killedAnywhere(
  prepare: () => Promise<{ request: (registry: Registry) => Promise<unknown>; check: () => Promise<void> }>,
  order?: KillOptions['order'],
): Promise<number> {
  let kills = 0;
  const ways = [false, true].flatMap((done) => [false, true].map((inOrder) => ({ done, inOrder })));
  for (const way of ways)
    for (let after = 0; ; after += 1) {
      const { request, check } = await prepare();
      const process = killed({ after, ...way, ...(order && { order }) });
      const outcome: unknown = await request(registry(process.store)).then(
        () => 'done',
        (error: unknown) => error,
      );
      if (process.wasKilled()) assert.ok(outcome instanceof Killed, String(outcome));
      else assert.equal(outcome, 'done');
      // What was sent off together with the killed change may still be on its way.
      await new Promise((resolve) => setTimeout(resolve, 5));
      await check();
      if (!process.wasKilled()) break;
      kills += 1;
    }
  return kills;
}

/** Whatever tag is listed or answered for, its manifest is there. */
async function assertNoTagPointsNowhere(name: RepositoryName, tags: readonly string[]): Promise<void> {
  const listed = await tagsOf(name);
  for (const tag of tags) {
    const link = await new Tags(store).resolve(name, parseTag(tag));
    assert.equal(
      listed.includes(tag),
      link !== undefined,
      `${tag} is listed and does not resolve, or the other way round`,
    );
    if (link === undefined) continue;
    const { bytes } = await registry().manifests.get(name, tagged(tag));
    assert.equal(digestOf(bytes), link.digest);
  }
}

describe('a process killed at any step', () => {
  it('a kill at any step of a first push leaves no dangling tag, and the push can be repeated', async () => {
    const kills = await killedAnywhere(async () => {
      const name = fresh();
      const bytes = await image(name);
      return {
        request: async ({ manifests }) => await manifests.put(name, tagged('v1'), bytes, undefined),
        check: async () => {
          await assertNoTagPointsNowhere(name, ['v1']);
          await push(name, bytes, 'v1');
          await assertFolderExists(name, tagged('v1'), bytes);
        },
      };
    });
    assert.ok(kills >= 16, `${kills} kills`);
  });

  it('a kill at any step of a push leaves the tag at the old or the new manifest', async () => {
    await killedAnywhere(async () => {
      const name = fresh();
      const [old, next] = [await image(name), await image(name)];
      await push(name, old, 'v1');
      return {
        request: async ({ manifests }) => await manifests.put(name, tagged('v1'), next, undefined),
        check: async () => {
          await assertNoTagPointsNowhere(name, ['v1']);
          const { bytes } = await registry().manifests.get(name, tagged('v1'));
          assert.ok(bytes.equals(old) || bytes.equals(next));
        },
      };
    });
  });

  for (const order of ['forward', 'backward'] as const)
    it(`a kill at any step of deleting a manifest leaves no dangling tag if the store deletes ${order}`, async () => {
      const tags = ['a', 'b', 'moved', 'kept'];
      const kills = await killedAnywhere(async () => {
        const name = fresh();
        const [doomed, kept] = [await image(name), await image(name)];
        await push(name, doomed, 'a', 'b', 'moved');
        await push(name, kept, 'moved', 'kept');
        const reference = byDigest(digestOf(doomed));
        return {
          request: async ({ manifests }) => {
            await manifests.delete(name, reference);
          },
          check: async () => {
            await assertNoTagPointsNowhere(name, tags);
            if (await registry().manifests.has(name, digestOf(doomed)))
              await registry().manifests.delete(name, reference);
            await assertNoTagPointsNowhere(name, tags);
            assert.deepEqual(await tagsOf(name), ['kept', 'moved']);
            await assertUnknown(name, reference);
          },
        };
      }, order);
      assert.ok(kills >= 6, `${kills} kills`);
    });

  for (const order of ['forward', 'backward'] as const)
    it(`a kill at any step of deleting a tag leaves it whole or deleted if the store deletes ${order}`, async () => {
      await killedAnywhere(async () => {
        const name = fresh();
        const [old, next] = [await image(name), await image(name)];
        await push(name, old, 'v1', 'v1.0');
        await push(name, next, 'v1');
        return {
          request: async ({ manifests }) => {
            await manifests.delete(name, tagged('v1'));
          },
          check: async () => {
            await assertNoTagPointsNowhere(name, ['v1', 'v1.0']);
            await registry()
              .manifests.delete(name, tagged('v1'))
              .catch((error: unknown) => {
                assert.equal((error as { failure?: unknown }).failure, 'MANIFEST_UNKNOWN', String(error));
              });
            assert.deepEqual(await tagsOf(name), ['v1.0']);
            await assertFolderExists(name, byDigest(digestOf(next)), next);
          },
        };
      }, order);
    });
});

describe('the order of writes and deletes', () => {
  /** The keys changed, in order, those of one repository without its name. */
  async function changes(
    name: RepositoryName,
    request: (registry: Registry) => Promise<unknown>,
  ): Promise<string[][]> {
    const rows: string[][] = [];
    const short = (key: string): string =>
      key.replace(repositoryPrefix(name), '_').replace(/(sha256|_records)\/.*/, '$1');
    const recording = new Proxy<ObjectStore>(store, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (property === 'put') rows.push([`put ${short(args[0] as string)}`]);
          if (property === 'putInOrder')
            for (const { key } of args[0] as readonly NewObject[]) rows.push([`put ${short(key)}`]);
          if (property === 'delete') rows.push((args[0] as string[]).map((key) => `delete ${short(key)}`));
          return (await Reflect.apply(value, target, args)) as unknown;
        };
      },
    });
    await request(registry(recording));
    return rows;
  }

  it('a push writes the manifest before the tag', async () => {
    const name = fresh();
    const bytes = await image(name);
    const rows = await changes(
      name,
      async ({ manifests }) => await manifests.put(name, tagged('v1'), bytes, undefined),
    );
    assert.deepEqual(rows.flat(), [
      'put docker/registry/v2/blobs/sha256',
      'put _manifests/revisions/sha256',
      'put _manifests/tags/v1/index/sha256',
      'put _manifests/tags/v1/current/link',
    ]);
  });

  it('deleting a manifest records it, deletes its tags first, and never its bytes', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1', 'v2');
    const rows = await changes(name, async ({ manifests }) => {
      await manifests.delete(name, byDigest(digestOf(bytes)));
    });
    assert.deepEqual(
      rows.map((row) => row.toSorted()),
      [
        [`put docker/registry/v2/deleted/${name}/_records`],
        ['delete _manifests/tags/v1/current/link', 'delete _manifests/tags/v2/current/link'],
        [
          'delete _manifests/revisions/sha256',
          'delete _manifests/tags/v1/index/sha256',
          'delete _manifests/tags/v2/index/sha256',
        ],
      ],
    );
    await store.head(blobData(digestOf(bytes)));
  });
});

describe('an outage of the store', () => {
  it('an outage of the store is never reported as a missing manifest or blob', async () => {
    const name = fresh();
    const bytes = await image(name);
    const digest = await push(name, bytes, 'v1');
    const outage = new Error('no route to host');
    const fail = async () => await Promise.reject(outage);
    const down = new Proxy<ObjectStore>(store, {
      get: (target, property) =>
        property === 'limits' ? target.limits : property === 'fencing' ? { open: fail } : fail,
    });
    const { manifests, blobs, tags } = registry(down);
    const layer = parseDigest(`sha256:${'1'.repeat(64)}`);
    for (const request of [
      manifests.get(name, tagged('v1')),
      manifests.get(name, byDigest(digest)),
      manifests.put(name, tagged('v1'), bytes, undefined),
      manifests.delete(name, tagged('v1')),
      manifests.delete(name, byDigest(digest)),
      manifests.has(name, digest),
      blobs.stat(name, layer),
      blobs.has(name, layer),
      blobs.mount(name, layer, fresh()),
      blobs.delete(name, layer),
      tags.list(name, { n: 1, last: '' }),
    ])
      await assert.rejects(request, outage);
    assert.equal(await store.head(layerLink(name, layer)).catch(() => 'gone'), 'gone');
  });
});
