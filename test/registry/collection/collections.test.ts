import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { parseReference } from '../../../lib/protocol/references.ts';
import { Collections } from '../../../lib/registry/collection/collections.ts';
import { serializeDeletion } from '../../../lib/registry/collection/deletion-record.ts';
import { maxAttempts } from '../../../lib/registry/collection/views.ts';
import type { Moment } from '../../../lib/registry/expiring-cache.ts';
import type { Registry } from '../../../lib/registry/interface.ts';
import {
  blobData,
  deletionKey,
  layerLink,
  markKey,
  markList,
  rescueKey,
  retiredKey,
  tagLink,
} from '../../../lib/registry/layout.ts';
import { exists } from '../../../lib/registry/links.ts';
import { createRegistry } from '../../../lib/registry/registry.ts';
import { rollback } from '../../../lib/registry/undo/rollback.ts';
import { FenceEnded, type ObjectStore } from '../../../lib/storage/store.ts';
import { intercepted } from '../interrupted.ts';
import { digestOf, freshName, pushManifest, v1 } from '../undo/images.ts';
import { onFencedStores } from './fenced-stores.ts';
import { localImage, pushUntagged, upload } from './pushes.ts';
import { condemn, fencingOf } from './small-collection.ts';

const condemnedStat = { isExpected: false, hidesCondemned: true } as const;

/** A store that notes its calls: the method, and the folder of collections that it is about. */
function counted(store: ObjectStore): { readonly store: ObjectStore; readonly calls: () => string[] } {
  const calls: string[] = [];
  const counting = intercepted(store, (method, [about]) => {
    const { prefix = about } = (about ?? {}) as { readonly prefix?: unknown };
    const folder = /\/gc\/([a-z]+)\//.exec(String(prefix))?.[1];
    calls.push(folder === undefined ? method : `${method} ${folder}`);
  });
  return { store: counting, calls: () => calls.splice(0) };
}

/** A store whose deletions can land for half a minute. In a folder, they are ended at once. */
function withoutEnd(store: ObjectStore): ObjectStore {
  const fencing = new Proxy(fencingOf(store), {
    get: (target, property): unknown =>
      property === 'endDeletion' ? async () => await Promise.resolve(30_000) : bound(target, property),
  });
  return new Proxy(store, {
    get: (target, property) => (property === 'fencing' ? fencing : bound(target, property)),
  });
}

function bound(target: object, property: PropertyKey): unknown {
  const value: unknown = Reflect.get(target, property, target);
  return typeof value === 'function' ? value.bind(target) : value;
}

onFencedStores('what writers know of collections', (newStore) => {
  it('is asked for once a minute by both clocks, and by what pushes alone', async () => {
    const { store, calls } = counted(await newStore());
    let time: Moment = { wallMs: 1_000_000, monotonicMs: 0 };
    const registry = createRegistry(store, { collections: new Collections(store, { clock: () => time }) });
    const [name, other, bytes] = [freshName(), freshName(), randomBytes(20)];
    const asked = async (act: () => Promise<unknown>) => {
      calls();
      await act();
      return calls().filter((call) => call.startsWith('fencing')).length;
    };
    assert.equal(
      await asked(async () => {
        await upload(registry, name, bytes);
      }),
      1,
    );
    const acts: readonly [string, (on: Registry) => Promise<unknown>, number][] = [
      [
        'an upload',
        async (on) => {
          await upload(on, name, bytes);
        },
        1,
      ],
      ['HEAD of a blob', async (on) => await on.blobs.stat(name, digestOf(bytes), condemnedStat), 1],
      ['GET of a blob', async (on) => await on.blobs.stat(name, digestOf(bytes)), 0],
      ['a mount', async (on) => await on.blobs.mount(other, digestOf(bytes), name), 1],
      [
        'a manifest',
        async (on) =>
          await on.manifests.put(
            name,
            parseReference('v1'),
            Buffer.from(
              JSON.stringify({
                schemaVersion: 2,
                mediaType: 'application/vnd.oci.image.index.v1+json',
                manifests: [],
              }),
            ),
            undefined,
          ),
        1,
      ],
      ['a pull', async (on) => await on.manifests.get(name, parseReference('v1')), 0],
      ['a list of tags', async (on) => await on.tags.list(name, { n: 10, last: '' }), 0],
    ];
    for (const [what, act, expected] of acts) {
      assert.equal(await asked(async () => await act(registry)), 0, `${what} within the minute`);
      assert.equal(await asked(async () => await act(createRegistry(store))), expected, what);
    }
    for (const later of [
      { wallMs: 60_000, monotonicMs: 0 },
      { wallMs: 0, monotonicMs: 60_000 },
    ]) {
      time = { wallMs: time.wallMs + later.wallMs, monotonicMs: time.monotonicMs + later.monotonicMs };
      assert.equal(
        await asked(async () => {
          await upload(registry, name, bytes);
        }),
        1,
      );
    }
    assert.equal(
      await asked(async () => {
        await upload(createRegistry(store, { readOnly: true }), name, bytes);
      }),
      0,
    );
  });

  it('makes HEAD and mounts call a condemned blob absent, until it is rescued', async () => {
    const store = await newStore();
    const [name, other, bytes] = [freshName(), freshName(), randomBytes(20)];
    const digest = digestOf(bytes);
    await upload(createRegistry(store), name, bytes);
    for (const condemnedIn of ['*', [name]] as const) {
      const mark = await condemn(store, [{ digest, in: condemnedIn }]);
      const { blobs } = createRegistry(store);
      await assert.rejects(blobs.stat(name, digest, condemnedStat), { failure: 'BLOB_UNKNOWN' });
      assert.equal(await blobs.mount(other, digest, name), undefined);
      assert.equal(await blobs.mountFromAnywhere(name, digest), undefined);
      // Pulls are not concerned.
      assert.equal((await blobs.stat(name, digest)).size, 20);
      await store.put(rescueKey(mark, digest), Buffer.from('{}'));
      assert.equal((await blobs.stat(name, digest, condemnedStat)).size, 20);
      assert.equal((await blobs.mount(other, digest, name))?.size, 20);
      await store.delete([markKey(mark), layerLink(other, digest)]);
    }
    const elsewhere = await condemn(store, [{ digest, in: [freshName()] }]);
    assert.equal((await createRegistry(store).blobs.stat(name, digest, condemnedStat)).size, 20);
    await store.delete([markKey(elsewhere)]);
  });

  it('lets HEAD find what was uploaded since a mark began by a process that has not read it', async () => {
    const store = await newStore();
    const [name, bytes] = [freshName(), randomBytes(20)];
    const digest = digestOf(bytes);
    const uploading = createRegistry(store);
    await upload(uploading, name, randomBytes(20));
    const mark = await condemn(store, [{ digest, in: '*' }], new Date());
    await upload(uploading, name, bytes);
    assert.equal(await exists(store, rescueKey(mark, digest)), false);
    assert.equal((await createRegistry(store).blobs.stat(name, digest, condemnedStat)).size, 20);
    await condemn(store, [{ digest, in: [name] }]);
    await assert.rejects(createRegistry(store).blobs.stat(name, digest, condemnedStat), {
      failure: 'BLOB_UNKNOWN',
    });
  });

  it('takes everything for listed under a mark that is retired, or that cannot be read', async () => {
    const store = await newStore();
    const [name, bytes, listed] = [freshName(), randomBytes(20), digestOf(randomBytes(9))];
    await upload(createRegistry(store), name, bytes);
    const stat = async () =>
      await createRegistry(store)
        .blobs.stat(name, digestOf(bytes), condemnedStat)
        .then(
          () => 'there',
          (error: unknown) => (error as { failure?: unknown }).failure,
        );
    const damages: Readonly<Record<string, (mark: string) => Promise<unknown>>> = {
      'a list that is missing': async (mark) => {
        await store.delete([markList(mark, 'sha256:')]);
      },
      'a list with another hash': async (mark) => await store.put(markList(mark, 'sha256:'), Buffer.from('')),
      'a mark that is no JSON': async (mark) => await store.put(markKey(mark), Buffer.from('{')),
      'a mark of a later version': async (mark) =>
        await store.put(markKey(mark), Buffer.from('{"version":2}')),
    };
    for (const [what, damage] of Object.entries(damages)) {
      const mark = await condemn(store, [{ digest: listed, in: '*' }]);
      assert.equal(await stat(), 'there');
      await damage(mark);
      assert.equal(await stat(), 'BLOB_UNKNOWN', what);
      await store.delete([markKey(mark)]);
      assert.equal(await stat(), 'there');
    }
    const mark = await condemn(store, [{ digest: digestOf(bytes), in: '*' }]);
    await store.put(retiredKey(mark), Buffer.from('{}'));
    assert.equal(await stat(), 'BLOB_UNKNOWN', 'a mark that is retired');
  });

  it('finds each digest of a list, and no other', async () => {
    const store = await newStore();
    const digests = Array.from({ length: 200 }, () => digestOf(randomBytes(9))).sort();
    const name = freshName();
    const condemned = digests.filter((_, i) => i % 2 === 1);
    await condemn(
      store,
      condemned.map((digest) => ({ digest, in: [name, freshName()] })),
    );
    const collections = new Collections(store);
    const view = await collections.view();
    const found: string[] = [];
    for (const digest of digests) if (await collections.isCondemned(view, digest, [name])) found.push(digest);
    assert.deepEqual(found, condemned);
  });

  it('lets a push wait for a deletion, which is 503 with Retry-After if it takes too long', async () => {
    const store = await newStore();
    const [name, bytes] = [freshName(), randomBytes(20)];
    const digest = digestOf(bytes);
    await upload(createRegistry(store), name, bytes);
    const mark = await condemn(store, [{ digest, in: '*' }]);
    const stuck = async (one: typeof digest) => {
      const record = { key: deletionKey(mark, randomBytes(4).toString('hex')) };
      await fencingOf(store).openDeletion({ ...record, bytes: serializeDeletion({ from: one, to: one }) });
      return record.key;
    };
    await stuck(digestOf(randomBytes(9)));
    await upload(createRegistry(store), name, bytes);
    await stuck(digest);
    const never = withoutEnd(store);
    const impatient = createRegistry(never, { collections: new Collections(never, { waitMs: 0 }) });
    await assert.rejects(upload(impatient, name, bytes), {
      failure: 'UNAVAILABLE',
      headers: { 'Retry-After': '30' },
    });
    await upload(createRegistry(store), name, bytes);
    assert.ok(await exists(store, rescueKey(mark, digest)));
  });

  it('costs two lists for each manifest, and four requests for each blob that is rescued', async () => {
    const store = await newStore();
    const [name, image, fresh] = [freshName(), localImage(), localImage()];
    for (const one of [image, fresh])
      for (const bytes of one.blobs) await upload(createRegistry(store), name, bytes);
    await condemn(
      store,
      image.blobs.map((bytes) => ({ digest: digestOf(bytes), in: '*' })),
    );
    const { store: counting, calls } = counted(store);
    const registry = createRegistry(counting);
    await registry.blobs.stat(name, digestOf(fresh.blobs[0] ?? assert.fail()), condemnedStat);
    assert.deepEqual(calls(), ['fencing.open marks', 'head', 'head', 'read marks', 'read lists']);
    const put = async ({ bytes }: typeof image) =>
      await registry.manifests.put(name, parseReference('v1'), bytes, undefined);
    await put(fresh);
    const unlisted = calls();
    const lists = unlisted.filter((call) => call.startsWith('list'));
    assert.deepEqual(lists, ['list', 'list'], 'of referrers, and of tags about the manifest');
    await put(image);
    const listed = calls();
    const more = (call: string) =>
      listed.filter((one) => one === call).length - unlisted.filter((one) => one === call).length;
    assert.equal(more('put rescued'), 2);
    assert.equal(more('list deleting'), 1);
    // One of the looks is at bytes that were known.
    assert.equal(more('head') - 1, 2 * 2);
    // A folder writes several objects at once.
    const links = store.putInOrder === undefined ? 2 : 1;
    assert.equal(listed.length - unlisted.length, 2 + 1 + 2 * 2 + links + 1);
  });

  it('lets a request that was stopped until its fence ended begin again, a few times', async () => {
    const store = await newStore();
    const [name, image] = [freshName(), localImage()];
    for (const bytes of image.blobs) await upload(createRegistry(store), name, bytes);
    const failing = (times: number) => {
      let failures = 0;
      return intercepted(store, (method, [key]) => {
        if (method !== 'put' || key !== tagLink(name, v1) || failures++ >= times) return;
        throw new FenceEnded(key);
      });
    };
    const { store: once, calls } = counted(failing(1));
    await pushManifest(once, name, image.bytes, v1);
    assert.equal(calls().filter((call) => call === 'fencing.open marks').length, 2);
    await assert.rejects(pushManifest(failing(maxAttempts), name, image.bytes, v1), FenceEnded);
  });

  it('does not count what was seen of bytes before', async () => {
    const store = await newStore();
    let time: Moment = { wallMs: 1_000_000, monotonicMs: 0 };
    const registry = createRegistry(store, { collections: new Collections(store, { clock: () => time }) });
    const [name, bytes] = [freshName(), randomBytes(20)];
    await upload(registry, name, bytes);
    await store.delete([blobData(digestOf(bytes))]);
    await registry.blobs.stat(name, digestOf(bytes), condemnedStat);
    time = { ...time, wallMs: time.wallMs + 60_000 };
    await assert.rejects(registry.blobs.stat(name, digestOf(bytes), condemnedStat), {
      failure: 'BLOB_UNKNOWN',
    });
  });

  it('lets a push of a signature rescue what its tag is about, since the tag would go with that', async () => {
    const store = await newStore();
    const [name, image, signature] = [freshName(), localImage(), localImage()];
    await pushUntagged(store, name, image);
    const mark = await condemn(store, [{ digest: image.digest, in: '*' }]);
    await pushUntagged(store, name, signature);
    assert.equal(await exists(store, rescueKey(mark, image.digest)), false);
    await pushManifest(store, name, signature.bytes, `${image.digest.replace(':', '-')}.sig`);
    assert.ok(await exists(store, rescueKey(mark, image.digest)));
  });

  it('lets a rollback rescue all of an image', async () => {
    const store = await newStore();
    const [name, first, second] = [freshName(), localImage(), localImage()];
    for (const image of [first, second]) {
      await pushUntagged(store, name, image);
      await pushManifest(store, name, image.bytes, v1);
    }
    const digests = [first.digest, ...first.blobs.map(digestOf)];
    const mark = await condemn(
      store,
      digests.map((digest) => ({ digest, in: '*' })),
    );
    await rollback(store, name, v1, first, { dryRun: true });
    for (const digest of digests) assert.equal(await exists(store, rescueKey(mark, digest)), false);
    assert.deepEqual(await rollback(store, name, v1, first), { from: second.digest, to: first.digest });
    for (const digest of digests) assert.ok(await exists(store, rescueKey(mark, digest)));
  });
});
