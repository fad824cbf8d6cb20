import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { entityTag, type Conditions } from '../../lib/protocol/conditions.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { revisionLink } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { S3Store } from '../../lib/storage/s3/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { onBuckets } from '../clients/on-buckets.ts';
import { onMinio, onVersitygw } from '../servers/buckets.ts';
import { openS3 } from '../servers/storage.ts';
import { digestOf, indexType, manifest } from '../functions/client.ts';
import { interrupted } from './interrupted.ts';
import { MemoryStore } from './memory-store.ts';

const name = parseRepositoryName('team/app');
const tag = parseReference('v1');
/** A server that compares and writes in two steps may let two concurrent writers win. */
const notAtOnce = { skip: 'versitygw compares and writes in two steps' };

const some = (what: string): Buffer => manifest({ manifests: [], annotations: { what } }, indexType);

const absent: Conditions = { ifMatch: '', ifNoneMatch: '*' };
const unchanged = (bytes: Buffer): Conditions => ({
  ifMatch: entityTag(parseDigest(digestOf(bytes))),
  ifNoneMatch: '',
});

/** By a process of its own. */
async function push(store: ObjectStore, bytes: Buffer, conditions?: Conditions): Promise<void> {
  await createRegistry(store).manifests.put(name, tag, bytes, indexType, conditions && { conditions });
}

const current = async (store: ObjectStore): Promise<Buffer> =>
  (await createRegistry(store).manifests.get(name, tag)).bytes;

const refused = { failure: 'PRECONDITION_FAILED', status: 412 };

/** @returns undefined when it was done; it must not fail with another error than that it was refused */
async function failureOf(request: Promise<void>): Promise<RegistryError | undefined> {
  try {
    await request;
    return undefined;
  } catch (error) {
    assert.ok(error instanceof RegistryError && error.failure === refused.failure, String(error));
    return error;
  }
}

/** Pushes concurrently. @returns the manifests of successful pushes; all others must have been refused */
async function race(
  store: ObjectStore,
  conditions: Conditions,
  writers: number,
  pushed: (writer: number) => Buffer,
): Promise<Buffer[]> {
  const answers = await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const bytes = pushed(writer);
      return (await failureOf(push(store, bytes, conditions))) === undefined ? [bytes] : [];
    }),
  );
  return answers.flat();
}

describe('a tag on a store with conditional writes', () => {
  const open = async () => await Promise.resolve(new MemoryStore({ conditionalWrites: true }));
  describe('with concurrent pushes', () => {
    racedTags(open, 20);
  });
  guardedTags(open);
});

for (const kind of [onMinio, onVersitygw])
  onBuckets(kind, (newBucket) => {
    const stores: S3Store[] = [];
    const open = async () => {
      const store = await openS3((await newBucket()).settings);
      stores.push(store);
      assert.ok(store.limits.honoursOnlyIfAbsent && store.limits.honoursIfMatch);
      return store;
    };

    after(() => {
      for (const store of stores) store.close();
    });

    describe('a tag with concurrent pushes', kind === onVersitygw ? notAtOnce : {}, () => {
      racedTags(open, 8);
    });
    describe('a tag', () => {
      guardedTags(open);
    });
  });

/** Opens a store of its own for each test. */
type Open = () => Promise<ObjectStore>;

function racedTags(open: Open, writers: number): void {
  it('a tag with If-None-Match: * is created by exactly one of many concurrent pushes', async () => {
    const store = await open();
    const done = await race(store, absent, writers, (writer) => some(`${writer}`));
    assert.equal(done.length, 1);
    assert.deepEqual([await current(store)], done);
    assert.deepEqual(await race(store, absent, writers, (writer) => some(`late ${writer}`)), []);
    assert.deepEqual([await current(store)], done);
  });

  it('a tag is created by exactly one of many concurrent pushes of the same manifest', async () => {
    const store = await open();
    assert.equal((await race(store, absent, writers, () => some('same'))).length, 1);
  });

  it('a tag with If-Match is moved by exactly one of many concurrent pushes', async () => {
    const store = await open();
    const first = some('first');
    await push(store, first);
    const done = await race(store, unchanged(first), writers, (writer) => some(`${writer}`));
    assert.equal(done.length, 1);
    assert.deepEqual([await current(store)], done);
  });

  it('concurrent conditional updates of a tag with retries lose nothing', async () => {
    const store = await open();
    await push(store, some('0'));
    const count = (bytes: Buffer): number =>
      Number((JSON.parse(bytes.toString()) as { annotations: { what: string } }).annotations.what);
    const increment = async (): Promise<void> => {
      for (;;) {
        const seen = await current(store);
        if ((await failureOf(push(store, some(`${count(seen) + 1}`), unchanged(seen)))) === undefined) return;
      }
    };
    await Promise.all(Array.from({ length: writers }, increment));
    assert.equal(count(await current(store)), writers);
  });
}

function guardedTags(open: Open): void {
  for (const [what, before, conditions] of [
    ['that must not be there', undefined, absent],
    ['that must be as it was', some('before'), unchanged(some('before'))],
  ] as const)
    it(`${what} never hides what another writes at any step of the push`, async () => {
      let refusals = 0;
      for (let at = 0; ; at += 1) {
        const store = await open();
        if (before !== undefined) await push(store, before);
        const theirs = some('theirs');
        const { store: between, happened } = interrupted(store, at, async () => {
          await push(store, theirs);
        });
        const error = await failureOf(push(between, some('mine'), conditions));
        if (!happened()) {
          assert.equal(error, undefined);
          break;
        }
        // Not refused, it was there before the other came.
        if (error !== undefined) refusals += 1;
        assert.deepEqual(await current(store), theirs, `after ${at} calls`);
        assert.ok(at < 50);
      }
      // Before each look at the tag, and before the write itself.
      assert.ok(refusals >= 3, `${refusals} refusals`);
    });
}

describe('a tag on a store without conditional writes', () => {
  it('a tag without conditional writes is checked against the state before the request', async () => {
    const store = new MemoryStore();
    const [first, second] = [some('first'), some('second')];
    await assert.rejects(push(store, first, { ifMatch: '*', ifNoneMatch: '' }), refused);
    await push(store, first, absent);
    await assert.rejects(push(store, second, absent), refused);
    await assert.rejects(push(store, second, unchanged(second)), refused);
    assert.deepEqual(await current(store), first);
    await push(store, second, unchanged(first));
    assert.deepEqual(await current(store), second);
  });

  it('a refused conditional push of a tag leaves nothing', async () => {
    const store = new MemoryStore();
    await push(store, some('first'));
    const keys = [...store.objects.keys()];
    await assert.rejects(push(store, some('second'), absent), refused);
    assert.deepEqual([...store.objects.keys()], keys);
  });
});

describe('a dangling tag', () => {
  for (const conditionalWrites of [true, false])
    it(`a dangling tag counts as missing on a store ${conditionalWrites ? 'with' : 'without'} conditional writes`, async () => {
      const store = new MemoryStore({ conditionalWrites });
      const [old, bytes] = [some('old'), some('new')];
      await push(store, old);
      // As distribution's garbage collection leaves it.
      await store.delete([revisionLink(name, parseDigest(digestOf(old)))]);
      await assert.rejects(push(store, bytes, unchanged(old)), refused);
      await push(store, bytes, absent);
      assert.deepEqual(await current(store), bytes);
      await assert.rejects(push(store, old, absent), refused);
    });
});
