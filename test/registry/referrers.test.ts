import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unconditional } from '../../lib/protocol/conditions.ts';
import { parseDigest, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { referrersTag } from '../../lib/protocol/referrers.ts';
import {
  blobData,
  parseReferrerKey,
  referrerKey,
  referrersPrefix,
  referrersScan,
  revisionLink,
  tagLink,
} from '../../lib/registry/layout.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { Tags } from '../../lib/registry/tags.ts';
import { repairReferrers } from '../../lib/registry/manifests/repair.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { descriptor, digestOf, indexType, manifest } from '../functions/client.ts';
import { intercepted, interrupted } from './interrupted.ts';
import { MemoryStore } from './memory-store.ts';

const name = parseRepositoryName('team/app');
const subject = parseDigest(`sha256:${'5'.repeat(64)}`);
const about = { mediaType: indexType, digest: subject, size: 5 };

/** An index without children, which needs nothing else in the repository. */
function referrerBytes(number: number, more: object = {}): Buffer {
  return manifest(
    { manifests: [], subject: about, annotations: { number: String(number) }, ...more },
    indexType,
  );
}

async function push(registry: Registry, number: number, more: object = {}): Promise<Digest> {
  const bytes = referrerBytes(number, more);
  const reference = parseReference(digestOf(bytes));
  return (await registry.manifests.put(name, reference, bytes, indexType)).info.digest;
}

/** As distribution stores a manifest: its bytes and its link, and nothing of referrers. */
async function layManifest(store: ObjectStore, bytes: Buffer, to: RepositoryName = name): Promise<Digest> {
  const digest = parseDigest(digestOf(bytes));
  await store.put(blobData(digest), bytes);
  await store.put(revisionLink(to, digest), Buffer.from(digest));
  return digest;
}

async function listed(
  registry: Registry,
  page: { n: number; last: Digest | undefined } = { n: 1000, last: undefined },
  type?: string,
): Promise<Digest[]> {
  const { descriptors } = await registry.referrers.list(name, subject, page, type);
  return descriptors.map(({ digest }) => digest);
}

const entriesOf = async (store: ObjectStore) =>
  (await store.list({ prefix: referrersPrefix(name) })).objects.flatMap(
    ({ key }) => parseReferrerKey(name, key)?.referrer ?? [],
  );

describe('the referrers of a manifest', () => {
  it('referrers are complete after 300 concurrent pushes through several registries', async () => {
    const store = new MemoryStore();
    const registries = [1, 2, 3].map(() => createRegistry(store));
    const pushed = await Promise.all(
      Array.from({ length: 300 }, async (_, i) => await push(registries[i % 3] ?? createRegistry(store), i)),
    );
    assert.deepEqual(await listed(createRegistry(store)), pushed.toSorted());
  });

  it('referrers come in pages of any size, each once and in order, also with a filter', async () => {
    const store = new MemoryStore();
    const registry = createRegistry(store);
    const pushed: Digest[] = [];
    for (let i = 0; i < 60; i++)
      pushed.push(await push(registry, i, { artifactType: i % 7 === 0 ? 'a/rare' : 'a/common' }));
    const rare = pushed.filter((_, i) => i % 7 === 0);
    for (const [type, expected] of [
      [undefined, pushed],
      ['a/rare', rare],
      ['a/none', []],
    ] as const)
      for (const n of [1, 2, 16, 59, 60, 61]) {
        const all: Digest[] = [];
        for (let last: Digest | undefined, more = true; more;) {
          const { descriptors, next } = await registry.referrers.list(name, subject, { n, last }, type);
          assert.ok(descriptors.length <= n);
          assert.ok(next === undefined || descriptors.length === n, 'a page that is not full has no next');
          all.push(...descriptors.map(({ digest }) => digest));
          [last, more] = [next, next !== undefined];
        }
        assert.deepEqual(all, expected.toSorted(), `${type} in pages of ${n}`);
      }
  });

  it('pages of referrers fit the response of a function, whatever their annotations', async () => {
    const store = new MemoryStore();
    const registry = createRegistry(store);
    const annotations = { long: 'x'.repeat(1024 * 1024) };
    for (let i = 0; i < 6; i++) await push(registry, i, { annotations: { ...annotations, i: String(i) } });
    await push(registry, 6, { annotations: { long: 'x'.repeat(4_190_000) } });
    const sizes: number[] = [];
    for (let last: Digest | undefined, more = true; more;) {
      const { descriptors, next } = await registry.referrers.list(
        name,
        subject,
        { n: 1000, last },
        undefined,
      );
      sizes.push(descriptors.length);
      assert.ok(JSON.stringify(descriptors).length < 4.3 * 1024 * 1024);
      [last, more] = [next, next !== undefined];
    }
    assert.equal(
      sizes.reduce((sum, size) => sum + size),
      7,
    );
    assert.ok(sizes.length >= 3 && sizes.every((size) => size > 0), sizes.join());
  });

  it('a query for referrers has bounded cost if many were deleted', async () => {
    const store = new MemoryStore();
    const registry = createRegistry(store);
    await listed(registry);
    const kept = await push(registry, 0);
    for (let i = 0; i < 2500; i++) {
      const digest = parseDigest(`sha256:${i.toString(16).padStart(64, '0')}`);
      await store.put(referrerKey(name, subject, digest), Buffer.from(JSON.stringify({ digest })));
    }
    const { descriptors, next } = await registry.referrers.list(
      name,
      subject,
      { n: 10, last: undefined },
      undefined,
    );
    assert.deepEqual(descriptors, []);
    assert.ok(next !== undefined);
    assert.deepEqual(await listed(registry, { n: 10, last: next }), [kept]);
  });
});

describe('manifests that distribution stored', () => {
  const more = { by: 'distribution' };

  it('referrers that distribution stored are found at the first query in their repository', async () => {
    const store = new MemoryStore();
    const digests: Digest[] = [];
    for (let i = 0; i < 1100; i++) {
      const hasSubject = i % 10 === 0;
      const digest = await layManifest(
        store,
        referrerBytes(i, hasSubject ? more : { subject: undefined, i }),
      );
      if (hasSubject) digests.push(digest);
    }
    await layManifest(store, referrerBytes(5000), parseRepositoryName('other'));
    assert.deepEqual((await listed(createRegistry(store))).length, 110);
    assert.deepEqual(await listed(createRegistry(store)), digests.toSorted().slice(0, 110));
  });

  it('referrers that distribution stored are read once; later queries cost only the page', async () => {
    const store = new MemoryStore();
    for (let i = 0; i < 50; i++)
      await layManifest(store, referrerBytes(i, i < 3 ? more : { subject: undefined, i }));
    const calls: string[] = [];
    const counting = intercepted(store, (property, args) => {
      calls.push(`${property} ${JSON.stringify(args[0])}`);
    });
    const registry = createRegistry(counting);
    assert.equal((await listed(registry)).length, 3);
    assert.ok(calls.length > 50);
    calls.length = 0;
    assert.equal((await listed(registry)).length, 3);
    // How far it was looked, the tag of clients, the listing, and two for each entry.
    assert.equal(calls.length, 3 + 2 * 3, calls.join('\n'));
  });

  it('referrers that distribution stored are found by a function that times out repeatedly', async () => {
    const store = new MemoryStore();
    for (let i = 0; i < 3500; i++)
      await layManifest(store, referrerBytes(i, i % 500 === 0 ? more : { subject: undefined, i }));
    let [budget, reads] = [0, 0];
    const failing = intercepted(store, (property, args) => {
      const isManifest = property === 'read' && String(args[0]).includes('/v2/blobs/');
      if (isManifest && (reads += 1) > budget) throw new Error('cut off');
    });
    let tries = 0;
    for (let found: readonly Digest[] | undefined; found === undefined;) {
      assert.ok((tries += 1) < 10);
      budget = reads + 1200;
      found = await listed(createRegistry(failing)).catch(() => undefined);
      if (found !== undefined) assert.equal(found.length, 7);
    }
    assert.ok(tries >= 3, `${tries} tries`);
  });

  it('referrers are found by the fallback tag, also after the first query', async () => {
    const store = new MemoryStore();
    const registry = createRegistry(store);
    await push(registry, 0);
    assert.equal((await listed(registry)).length, 1);
    const later = await layManifest(store, referrerBytes(1, more));
    const absent = parseDigest(`sha256:${'a'.repeat(64)}`);
    const other = await layManifest(store, referrerBytes(2, { subject: { ...about, digest: absent } }));
    const bytes = [later, absent, other].map((digest) => ({ mediaType: indexType, digest, size: 1 }));
    const index = manifest({ manifests: [...bytes, descriptor(Buffer.from('none'))] }, indexType);
    await layManifest(store, index);
    const tag = referrersTag(subject);
    await new Tags(store).move(name, tag, parseDigest(digestOf(index)), {
      conditions: unconditional,
      fence: undefined,
    });
    assert.ok((await listed(registry)).includes(later));
    assert.equal((await listed(registry)).length, 2);
  });

  it('a fallback tag that names a referrer a thousand times is read once', async () => {
    const store = new MemoryStore();
    const reads: string[] = [];
    const counting = intercepted(store, (property, args) => {
      if (property === 'read') reads.push(String(args[0]));
    });
    const registry = createRegistry(counting);
    const absent = { ...about, digest: `sha256:${'a'.repeat(64)}` };
    const others: Digest[] = [];
    for (let i = 0; i < 700; i++)
      others.push(await layManifest(store, referrerBytes(i, { subject: absent })));
    await listed(registry);
    const digests = [...Array.from({ length: 1000 }, () => others[0]), ...others];
    const manifests = digests.map((digest) => ({ mediaType: indexType, digest, size: 1 }));
    const index = manifest({ manifests }, indexType);
    await layManifest(store, index);
    const tag = referrersTag(subject);
    await new Tags(store).move(name, tag, parseDigest(digestOf(index)), {
      conditions: unconditional,
      fence: undefined,
    });
    reads.length = 0;
    await listed(registry);
    assert.ok(reads.length <= 510, `${reads.length} reads`);
    reads.length = 0;
    await listed(registry);
    // How far it was looked, and the tag.
    assert.equal(reads.length, 2);
  });

  it('concurrent queries for referrers share one read', async () => {
    const store = new MemoryStore();
    for (let i = 0; i < 40; i++) await layManifest(store, referrerBytes(i));
    let reads = 0;
    const counting = intercepted(store, (property, args) => {
      if (property === 'read' && String(args[0]).includes('/v2/blobs/')) reads += 1;
    });
    const registry = createRegistry(counting);
    const all = await Promise.all(Array.from({ length: 8 }, async () => await listed(registry)));
    assert.ok(all.every((digests) => digests.length === 40));
    assert.equal(reads, 40);
  });

  it('referrers that were linked during an interrupted scan are found by the next repair', async () => {
    let now = Date.now();
    const store = new MemoryStore({ now: () => new Date(now) });
    const digests = [];
    for (let i = 0; i < 3; i++) digests.push(await layManifest(store, referrerBytes(i)));
    const [first = subject, second = subject] = digests.toSorted();
    // As a scan left it that had come to the second two hours ago, before which the first was linked afterwards.
    const after = revisionLink(name, second);
    const began = Date.now() - 7_200_000;
    await store.put(referrersScan(name), Buffer.from(JSON.stringify({ after, began })));
    now -= 3_600_000;
    for (const digest of [first, second]) await store.put(revisionLink(name, digest), Buffer.from(digest));
    const registry = createRegistry(store);
    assert.equal((await listed(registry)).length, 1);
    assert.deepEqual(await repairReferrers(registry), { repositories: 1, added: 2, removed: 0 });
    assert.deepEqual(await listed(registry), digests.toSorted());
  });

  it('altered referrers do not hide others in queries and repairs', async () => {
    const store = new MemoryStore();
    const good = await layManifest(store, referrerBytes(0));
    for (const [i, bytes] of [Buffer.from('altered'), Buffer.alloc(17 * 1024 * 1024)].entries())
      await store.put(blobData(await layManifest(store, referrerBytes(i + 1))), bytes);
    const tag = referrersTag(subject);
    await store.put(tagLink(name, tag), Buffer.from('garbage'));
    const registry = createRegistry(store);
    assert.deepEqual(await listed(registry), [good]);
    assert.deepEqual(await repairReferrers(registry, { full: true }), {
      repositories: 1,
      added: 0,
      removed: 0,
    });
  });

  for (const text of [
    '',
    'null',
    '[]',
    '{"mediaType":',
    '{"digest":"sha256:evil"}',
    '"x"',
    'x'.repeat(100_000),
  ])
    it(`a referrer is listed if its entry has become ${JSON.stringify(text.slice(0, 20))}`, async () => {
      const store = new MemoryStore();
      const registry = createRegistry(store);
      const digest = await push(registry, 0);
      const whole = await registry.referrers.list(name, subject, { n: 10, last: undefined }, undefined);
      await store.put(referrerKey(name, subject, digest), Buffer.from(text));
      // What others lay beside it cuts nothing off.
      await store.put(`${referrerKey(name, subject, digest)}.orig`, Buffer.from(text));
      const last = await push(registry, 1);
      assert.deepEqual(await listed(registry), [digest, last].toSorted());
      await registry.manifests.delete(name, parseReference(last));
      assert.deepEqual(
        await registry.referrers.list(name, subject, { n: 10, last: undefined }, undefined),
        whole,
      );
    });

  for (const [what, bytes] of [
    ['no JSON', Buffer.from('"subject"')],
    ['a list', Buffer.from('[{"subject":1}]')],
    ['a subject that is a text', Buffer.from(`{"schemaVersion":2,"subject":"${subject}"}`)],
    ['a subject without a digest', Buffer.from('{"schemaVersion":2,"subject":{}}')],
    ['a subject of another algorithm', Buffer.from('{"schemaVersion":2,"subject":{"digest":"md5:00"}}')],
  ] as const)
    it(`manifests that distribution stored are skipped if they have ${what}`, async () => {
      const store = new MemoryStore();
      await layManifest(store, bytes);
      const good = await layManifest(store, referrerBytes(0));
      assert.deepEqual(await listed(createRegistry(store)), [good]);
    });
});

describe('a repair of referrers', () => {
  it('a repair adds missing referrers, removes deleted ones and keeps the rest', async () => {
    let now = Date.now();
    const store = new MemoryStore({ now: () => new Date(now) });
    const registry = createRegistry(store);
    const [kept, gone] = [await push(registry, 0), await push(registry, 1)];
    assert.equal((await listed(registry)).length, 2);
    now += 3_600_000;
    const later = await layManifest(store, referrerBytes(2));
    await registry.manifests.delete(name, parseReference(gone));
    assert.deepEqual(await listed(registry), [kept]);
    assert.deepEqual(await repairReferrers(registry), { repositories: 1, added: 1, removed: 1 });
    assert.deepEqual(await entriesOf(store), [kept, later].toSorted());
    assert.deepEqual(await listed(registry), [kept, later].toSorted());
    assert.deepEqual(await repairReferrers(registry), { repositories: 1, added: 0, removed: 0 });
  });

  it('a repair reads nothing without earlier queries, and all manifests on request', async () => {
    let now = 0;
    const store = new MemoryStore({ now: () => new Date(now) });
    const registry = createRegistry(store);
    const digest = await layManifest(store, referrerBytes(0));
    assert.deepEqual(await repairReferrers(registry, { full: true }), {
      repositories: 0,
      added: 0,
      removed: 0,
    });
    assert.deepEqual(await listed(registry), [digest]);
    now += 3_600_000;
    // As by hands, or a process that was killed.
    await store.delete([referrerKey(name, subject, digest)]);
    assert.deepEqual(await listed(registry), []);
    assert.deepEqual(await repairReferrers(registry, { full: true }), {
      repositories: 1,
      added: 1,
      removed: 0,
    });
    assert.deepEqual(await listed(registry), [digest]);
  });

  it('a repair starts over if its saved progress is invalid', async () => {
    for (const text of ['', '[]', '{"at":"x"}', 'null', '{', '{"at":9e15}', ' '.repeat(5000)]) {
      const store = new MemoryStore();
      const digest = await layManifest(store, referrerBytes(0));
      await store.put(referrersScan(name), Buffer.from(text));
      assert.deepEqual(await listed(createRegistry(store)), [digest], text);
    }
  });

  for (const [title, isThere] of [
    ['a push', false],
    ['a push of what was deleted', true],
  ] as const)
    it(`a repair loses nothing of ${title} at any of its steps`, async () => {
      for (let at = 0; ; at++) {
        const store = new MemoryStore();
        const plain = createRegistry(store);
        await listed(plain);
        const kept = await push(plain, 0);
        await listed(plain);
        if (isThere) await plain.manifests.delete(name, parseReference(await push(plain, 1)));
        let pushed: Digest | undefined;
        const { store: between, happened } = interrupted(store, at, async () => {
          pushed = await push(plain, 1);
        });
        await createRegistry(between).referrers.repair(name);
        if (!happened()) break;
        assert.ok(pushed !== undefined);
        assert.deepEqual(await listed(plain), [kept, pushed].toSorted(), `at ${at}`);
        assert.ok(at < 100);
      }
      for (let at = 0; ; at++) {
        const store = new MemoryStore();
        const plain = createRegistry(store);
        await push(plain, 0);
        await listed(plain);
        if (isThere) await plain.manifests.delete(name, parseReference(await push(plain, 1)));
        const { store: between, happened } = interrupted(
          store,
          at,
          async () => await plain.referrers.repair(name),
        );
        const pushed = await push(createRegistry(between), 1);
        assert.ok((await listed(plain)).includes(pushed), `the repair at ${at}`);
        if (!happened()) break;
        assert.ok(at < 100);
      }
    });
});
