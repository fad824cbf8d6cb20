import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { DigestTable } from '../../../lib/maintenance/collection/digest-table.ts';
import { Garbage } from '../../../lib/maintenance/collection/garbage.ts';
import { look, owns, type SeenBlob } from '../../../lib/maintenance/collection/look.ts';
import { readPack, writePack } from '../../../lib/maintenance/collection/packs.ts';
import { LocalSegments } from '../../../lib/maintenance/collection/segments.ts';
import { partitionOf, Spool } from '../../../lib/maintenance/collection/spool.ts';
import { parseDigest, type Digest } from '../../../lib/protocol/digests.ts';
import { MemoryStore } from '../../registry/memory-store.ts';

function digest(text: string, algorithm = 'sha256'): Digest {
  return parseDigest(`${algorithm}:${createHash(algorithm).update(text).digest('hex')}`);
}

const some = Array.from({ length: 5000 }, (_, i) => digest(`${i}`, i % 50 === 7 ? 'sha512' : 'sha256'));

describe('digests of a look', () => {
  it('have the numbers in which order they were added, of both algorithms', () => {
    const table = new DigestTable();
    for (const [i, one] of some.entries()) {
      assert.equal(table.find(one), undefined);
      assert.equal(table.add(one), i);
    }
    for (const [i, one] of some.entries())
      assert.deepEqual([table.find(one), table.add(one), table.get(i)], [i, i, one]);
    assert.equal(table.size, some.length);
    assert.equal(table.find(digest('another')), undefined);
  });

  it('are read back with all their owners, partition by partition', async () => {
    const segments = new LocalSegments();
    const spool = new Spool(segments);
    const expected = new Map<Digest, { id: number; flags: number }[]>();
    for (let i = 0; i < 50_000; i++) {
      if (i % 17_000 === 0) await spool.flush();
      // Every other digest; some have very many owners.
      const one = some[((i * i) % 2500) * 2] ?? digest('none');
      const owner = { id: i * 80_000, flags: i % 32 };
      spool.add(one, owner);
      const owners = expected.get(one) ?? [];
      owners.push(owner);
      expected.set(one, owners);
    }
    await spool.flush();
    const partitions = Map.groupBy([...some].sort(), partitionOf);
    for (const [partition, digests] of partitions) {
      const owners = await spool.read(partition);
      for (const one of digests) {
        const found = owners.of(one).sort((a, b) => a.id - b.id);
        assert.deepEqual(found, expected.get(one) ?? []);
      }
    }
    assert.equal(segments.count, 3);
    segments.close();
  });

  it('are in packs as they were, and a pack of another release is not read', () => {
    const known = [
      {
        name: 'team/app',
        manifests: new Map([
          [some[7], { names: [some[1], some[57], some[2]], subject: some[3] }],
          [some[3], { names: [], subject: undefined }],
        ] as [Digest, { names: Digest[]; subject: Digest | undefined }][]),
        tags: new Map([['v1', { etag: '"x"', digest: some[7] ?? digest('') }]]),
      },
      { name: 'team/tool', manifests: new Map(), tags: new Map() },
    ];
    assert.deepEqual(readPack(writePack(known)), known);
    const json = writePack(known).toString().split('\n')[1]?.replace('"version":1', '"version":2') ?? '';
    const hash = createHash('sha256').update(json).digest('hex');
    assert.equal(readPack(Buffer.from(`${hash}\n${json}`)), undefined);
  });

  it('of SHA-512 are looked at like others', async () => {
    const store = new MemoryStore({ now: () => new Date(0) });
    const put = async (key: string, text: string) => {
      await store.put(`docker/registry/v2/${key}`, Buffer.from(text));
    };
    const add = async (text: string, folder: string) => {
      const [algorithm, hex = ''] = digest(text, 'sha512').split(':');
      await put(`blobs/sha512/${hex.slice(0, 2)}/${hex}/data`, text);
      await put(`repositories/app/${folder}/sha512/${hex}/link`, `${algorithm}:${hex}`);
    };
    await add('needed', '_layers');
    await add('garbage', '_layers');
    const manifest = JSON.stringify({ layers: [{ digest: digest('needed', 'sha512') }] });
    await add(manifest, '_manifests/revisions');
    await put('repositories/app/_manifests/tags/v1/current/link', digest(manifest, 'sha512'));
    const freed: string[] = [];
    await look(store, { untagged: () => 0 }, new Garbage((one) => freed.push(one)));
    assert.deepEqual(freed, [digest('garbage', 'sha512')]);
  });

  it('of an algorithm that is not known stop the repository of a manifest that has one', async () => {
    const store = new MemoryStore({ now: () => new Date(0) });
    const key = `docker/registry/v2/repositories/app/_manifests/revisions/sha384/${'0'.repeat(96)}/link`;
    await store.put(key, Buffer.from('x'));
    const garbage = new Garbage();
    await look(store, {}, garbage);
    assert.deepEqual(garbage.damaged, [{ name: 'app', reasons: [`${key} is not understood`] }]);
  });
});

describe('what is younger than a day', () => {
  const day = 86_400_000;
  const blob = digest('blob').slice(7);
  const bytes = `blobs/sha256/${blob.slice(0, 2)}/${blob}/data`;
  const link = (name: string) => `repositories/${name}/_layers/sha256/${blob}/link`;

  for (const [what, young, freed, links] of [
    ['the bytes', [bytes], 0, 2],
    ['one of two links', [link('a')], 0, 1],
    ['nothing', [], 1, 2],
  ] as const)
    it(`stays: ${what}`, async () => {
      let now = Date.now() - 2 * day;
      const store = new MemoryStore({ now: () => new Date(now) });
      for (const key of [bytes, link('a'), link('b')]) {
        now = Date.now() - ((young as readonly string[]).includes(key) ? day - 60_000 : day + 60_000);
        await store.put(`docker/registry/v2/${key}`, Buffer.from('blob'));
      }
      const garbage = new Garbage();
      await look(store, {}, garbage);
      assert.deepEqual([garbage.freed.blobs, garbage.freed.links], [freed, links]);
      assert.deepEqual([garbage.young.blobs, garbage.young.links], [1 - freed, 2 - links]);
    });

  it('stays with all that it needs: a manifest without a tag', async () => {
    let now = Date.now() - 2 * day;
    const store = new MemoryStore({ now: () => new Date(now) });
    const manifest = JSON.stringify({ layers: [{ digest: digest('blob') }] });
    const hex = digest(manifest).slice(7);
    await store.put(`docker/registry/v2/${bytes}`, Buffer.from('blob'));
    await store.put(`docker/registry/v2/${link('a')}`, Buffer.from('blob'));
    await store.put(`docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, Buffer.from(manifest));
    for (const [age, stays] of [
      [day - 60_000, true],
      [day + 60_000, false],
    ] as const) {
      now = Date.now() - age;
      const revision = `docker/registry/v2/repositories/a/_manifests/revisions/sha256/${hex}/link`;
      await store.put(revision, Buffer.from(`sha256:${hex}`));
      const garbage = new Garbage();
      await look(store, { untagged: () => 0 }, garbage);
      assert.deepEqual([garbage.freed.blobs, garbage.young.manifests], stays ? [0, 1] : [2, 0]);
    }
  });

  it('stays until its own time: a manifest without a tag, by repository', async () => {
    const store = new MemoryStore({ now: () => new Date(Date.now() - 5 * day) });
    const manifest = '{"layers":[]}';
    const hex = digest(manifest).slice(7);
    await store.put(`docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, Buffer.from(manifest));
    for (const name of ['a', 'b', 'c', 'd']) {
      const revision = `docker/registry/v2/repositories/${name}/_manifests/revisions/sha256/${hex}/link`;
      await store.put(revision, Buffer.from(`sha256:${hex}`));
    }
    const days: Record<string, number> = { a: 4, b: 6, c: 0 };
    const untagged = (repository: string) => {
      const age = days[repository];
      return age === undefined ? undefined : age * day;
    };
    for (const [options, freed] of [
      [{}, ['a', 'c']],
      [{ youngMs: 6 * day }, []],
      [{ youngSince: new Date(Date.now() - 6 * day) }, []],
      [{ youngSince: new Date() }, ['a', 'c']],
    ] as const) {
      const garbage = new Garbage();
      await look(store, { untagged, ...options }, garbage);
      assert.deepEqual(
        garbage.repositories.map(({ name }) => name),
        freed,
      );
    }
  });
});

it('digests without bytes are seen with their owners, in the order of digests among the others', async () => {
  const store = new MemoryStore({ now: () => new Date(0) });
  const all = some.slice(0, 300).sort();
  const noBytes = new Set(all.filter((_, i) => i % 3 > 0 || i < 3));
  for (const one of all) {
    const [algorithm = '', hex = ''] = one.split(':');
    const put = async (key: string) => await store.put(`docker/registry/v2/${key}`, Buffer.from('x'));
    await put(`repositories/app/_layers/${algorithm}/${hex}/link`);
    if (!noBytes.has(one)) await put(`blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`);
  }
  const seen: string[] = [];
  const visitor = (isMissing: boolean) => (of: Pick<SeenBlob, 'digest' | 'owners'>) => {
    assert.deepEqual([noBytes.has(of.digest), of.owners], [isMissing, [{ id: 0, flags: owns.link }]]);
    seen.push(of.digest);
  };
  await look(store, {}, { repository: () => undefined, blob: visitor(false), missing: visitor(true) });
  assert.deepEqual(seen, all);
});
