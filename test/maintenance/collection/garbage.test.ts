import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Garbage } from '../../../lib/maintenance/collection/garbage.ts';
import { look, type LookOptions } from '../../../lib/maintenance/collection/look.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { onStores } from '../../registry/on-stores.ts';
import { fill, type Expected, type Filled } from './filled-bucket.ts';

/** As if it were an hour later, and nothing were too young. */
const all = { youngMs: -3_600_000 };

async function lookAt(store: ObjectStore, options: LookOptions, nameOf: (digest: string) => string) {
  const freed: string[] = [];
  const garbage = new Garbage((digest) => freed.push(nameOf(digest)));
  await look(store, options, garbage);
  return { garbage, freed: freed.sort() };
}

function assertFound(
  { garbage, freed }: Awaited<ReturnType<typeof lookAt>>,
  expected: Expected,
  { bucket, unlinked, damaged }: Filled,
): void {
  assert.deepEqual(freed, [...expected.freed].sort());
  const repositories = Object.entries(expected.repositories).map(
    ([name, [manifests, links, bytes, isEmptied]]) => {
      return { name, manifests, links, bytes: bucket.sizeOf(...bytes), isEmptied: isEmptied ?? false };
    },
  );
  assert.deepEqual(garbage.repositories, repositories);
  assert.equal(garbage.freed.bytes, bucket.sizeOf(...expected.freed));
  assert.equal(garbage.freed.blobs, expected.freed.length);
  assert.deepEqual(garbage.unlinked, { blobs: unlinked.length, bytes: bucket.sizeOf(...unlinked) });
  assert.deepEqual(
    garbage.damaged.map(({ name }) => name),
    damaged,
  );
}

onStores('what could be freed', (store) => {
  let filled: Filled;

  it('is exactly what no tag and no manifest needs', async () => {
    filled = await fill(store());
    const found = await lookAt(store(), { ...all, keeps: true }, (digest) => filled.bucket.nameOf(digest));
    assertFound(found, filled.kept, filled);
  });

  it('is also what untagged manifests need, if they are to go', async () => {
    for (const keeps of [false, true]) {
      const options = { ...all, untagged: () => all.youngMs, keeps };
      const found = await lookAt(store(), options, (digest) => filled.bucket.nameOf(digest));
      assertFound(found, filled.untagged, filled);
    }
  });

  it('is nothing while all is younger than a day', async () => {
    const { garbage, freed } = await lookAt(store(), { untagged: () => 0 }, (digest) => digest);
    assert.deepEqual([freed, garbage.repositories], [[], []]);
    const { freed: named } = filled.kept;
    assert.deepEqual(garbage.young, {
      // In app/multi one, and in app/refs two. What a young tag points at stays for its tag.
      manifests: 3,
      links: 6,
      blobs: named.length,
      bytes: filled.bucket.sizeOf(...named),
    });
  });
});
