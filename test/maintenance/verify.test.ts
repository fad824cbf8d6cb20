import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VerifyCounts, type VerifyOptions } from '../../lib/maintenance/verify/inspection.ts';
import { applyRepair } from '../../lib/maintenance/verify/repair.ts';
import { verify } from '../../lib/maintenance/verify/verify.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { blobData, layerLink, revisionLink } from '../../lib/registry/layout.ts';
import { MountHints } from '../../lib/registry/mount-hints.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import {
  ObjectUnreadable,
  StoreUnavailable,
  type Listing,
  type ListOptions,
  type ObjectStore,
} from '../../lib/storage/store.ts';
import { fillWithOriginal } from '../fixtures/original.ts';
import { interrupted, intercepted } from '../registry/interrupted.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { damages, harmless } from './damage.ts';
import { fillRepository, sampleBlobs, sampleLayers, sampleManifests, v1 } from './sample-repository.ts';

/** What was pushed a moment ago counts as settled. */
const settled: VerifyOptions = { settleMs: 0 };

/** A bucket whose listings have pages of five keys, between which others change it. */
class SmallPages extends MemoryStore {
  override async list(options: ListOptions): Promise<Listing> {
    return await super.list({ limit: 5, ...options });
  }
}

async function found(store: ObjectStore, options: VerifyOptions = {}) {
  return await Array.fromAsync(verify(store, { ...settled, ...options }));
}

const brief = ({ kind, key, severity }: { kind: string; key: string; severity: string }) =>
  `${severity} ${kind} ${key}`;

describe('verify', () => {
  it('finds nothing in what the original registry stored', async () => {
    const store = new MemoryStore();
    await fillWithOriginal(store);
    const counts = new VerifyCounts();
    assert.deepEqual(await found(store, { counts }), []);
    assert.deepEqual([counts.hashed, counts.manifests, counts.repositories], [counts.blobs, 12, 9]);
  });

  it('finds nothing in what this registry stored', async () => {
    const store = new MemoryStore();
    await fillRepository(store, 'team/app');
    await fillRepository(store, 'team/app/sub');
    assert.deepEqual(await found(store), []);
  });

  for (const { title, kind, severity, make, hashed = false, mended } of damages) {
    it(`finds ${title}, and nothing else`, async () => {
      const store = new MemoryStore();
      const [damaged] = [await fillRepository(store, 'team/app'), await fillRepository(store, 'team/web')];
      const key = await make(store, damaged);
      const expected = `${severity} ${kind} ${key}`;
      const all = await found(store);
      assert.deepEqual(all.map(brief), [expected]);
      assert.deepEqual(
        (await found(store, { repositories: [damaged.name] })).map(brief),
        kind === 'upload-damaged' ? [] : [expected],
      );
      if (!hashed)
        assert.deepEqual((await found(store, { sample: { kind: 'none' } })).map(brief), [expected]);
      for (const { repair } of all)
        if (repair !== undefined) assert.equal(await applyRepair(store, repair), true);
      assert.deepEqual((await found(store)).map(brief), mended ? [] : [expected]);
    });
  }

  for (const { title, make } of harmless)
    it(`does not report ${title}`, async () => {
      const store = new MemoryStore();
      await make(store, await fillRepository(store, 'team/app'));
      assert.deepEqual(await found(store), []);
    });

  it('finds without hashing a layer that is shorter than its manifest says, and an altered manifest', async () => {
    const store = new MemoryStore();
    const { layer, child } = await fillRepository(store, 'team/app');
    await store.put(blobData(layer), Buffer.alloc(30));
    await store.put(blobData(child), Buffer.from('{}'));
    const findings = await found(store, { sample: { kind: 'none' } });
    assert.deepEqual(findings.map(brief).sort(), [
      `damage blob-size ${blobData(layer)}`,
      `damage manifest-damaged ${blobData(child)}`,
    ]);
  });

  it('looks at a number of blobs, and at a share of them, and lists all', async () => {
    const store = new MemoryStore();
    await fillRepository(store, 'team/app');
    const counts = new VerifyCounts();
    assert.deepEqual(await found(store, { counts, sample: { kind: 'number', number: 3 } }), []);
    assert.deepEqual([counts.blobs, counts.hashed], [sampleBlobs, 3]);
    const more = new VerifyCounts();
    await found(store, { counts: more, sample: { kind: 'number', number: 1000 } });
    assert.equal(more.hashed, sampleBlobs);
    const all = new VerifyCounts();
    await found(store, { counts: all, sample: { kind: 'share', share: 1 } });
    assert.equal(all.hashed, sampleBlobs);
  });

  it('hashes with the 16 first digits, one after the other, each blob once, and nothing else', async () => {
    const store = new MemoryStore();
    const { layer } = await fillRepository(store, 'team/app');
    await store.put(blobData(layer), Buffer.alloc(60));
    const counts = new VerifyCounts();
    const findings = [];
    for (const prefix of '0123456789abcdef') findings.push(...(await found(store, { counts, prefix })));
    assert.deepEqual(findings.map(brief), [`damage blob-damaged ${blobData(layer)}`]);
    assert.deepEqual([counts.hashed, counts.manifests, counts.uploads], [sampleBlobs, 0, 0]);
    const [, hex = ''] = layer.split(':');
    assert.equal((await found(store, { prefix: hex.slice(0, 5) })).length, 1);
  });

  it('finds an image of a platform that the settings require, and no other', async () => {
    const store = new MemoryStore();
    const { name, child } = await fillRepository(store, 'team/app');
    await store.delete([revisionLink(name, child)]);
    const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) => [{ os: 'linux', architecture }]);
    assert.deepEqual(await found(store, { requiredPlatforms: arm64 ?? [] }), []);
    assert.equal((await found(store, { requiredPlatforms: amd64 ?? [] })).length, 1);
  });

  it('finds hints of mounts that lead nowhere, if it is asked to', async () => {
    const store = new MemoryStore();
    const { layer, image, name } = await fillRepository(store, 'team/app');
    const mountHints = new MountHints(['a secret of the registry']);
    const web = parseRepositoryName('team/web');
    const { bytes } = await store.read(blobData(layer), 100);
    await store.put(blobData(layer), bytes, { metadata: mountHints.metadataFor(web) });
    // A manifest is no blob of its repository, and can be pulled as one.
    const manifest = await store.read(blobData(image), 10_000);
    await store.put(blobData(image), manifest.bytes, { metadata: mountHints.metadataFor(name) });
    assert.deepEqual(await found(store), []);
    assert.deepEqual((await found(store, { mountHints })).map(brief), [
      `leftover mount-hint-dangling ${blobData(layer)}`,
    ]);
  });

  it('reports what a single object says when it cannot be read, and goes on', async () => {
    const store = new MemoryStore();
    const { layer, child, name } = await fillRepository(store, 'team/app');
    await store.delete([layerLink(name, layer)]);
    const isBroken = (key: unknown) => key === blobData(child);
    const broken = intercepted(store, (_, [key]) => {
      if (isBroken(key)) throw new ObjectUnreadable(blobData(child), 'the disk is broken');
    });
    const kinds = (await found(broken)).map(brief);
    assert.deepEqual([...new Set(kinds)].sort(), [
      `damage layer-link-missing ${layerLink(name, layer)}`,
      `damage unreadable ${blobData(child)}`,
    ]);
  });

  it('fails when the bucket fails, rather than find everything missing', async () => {
    const store = new MemoryStore();
    await fillRepository(store, 'team/app');
    const methods = ['list', 'open', 'read'];
    for (const failing of methods) {
      const broken = intercepted(store, (method) => {
        if (method === failing) throw new StoreUnavailable('', 'the bucket is away');
      });
      await assert.rejects(found(broken), StoreUnavailable);
    }
  });
});

describe('verify while clients push and delete', () => {
  const name = parseRepositoryName('team/app');

  it('finds nothing, whatever a push has done at each step of it', async () => {
    await atEachStep(async (store) => await fillRepository(store, 'team/app'));
  });

  it('finds nothing, whatever a delete has done at each step of it', async () => {
    await atEachStep(async (store) => {
      const registry = createRegistry(store);
      const { info } = await registry.manifests.get(name, { kind: 'tag', tag: v1 });
      await registry.manifests.delete(name, { kind: 'digest', digest: info.digest });
    });
  });

  it('finds nothing while a push has stopped between any two of its writes, and goes on later', async () => {
    let waits = 0;
    for (let at = 0, hasStopped = true; hasStopped; at++) {
      const store = new MemoryStore();
      const [stopped, goesOn] = [Promise.withResolvers<boolean>(), Promise.withResolvers<undefined>()];
      let calls = 0;
      const slow = intercepted(store, async () => {
        if (calls++ !== at) return;
        stopped.resolve(true);
        await goesOn.promise;
      });
      const push = fillRepository(slow, 'team/app');
      hasStopped = await Promise.race([stopped.promise, push.then(() => false)]);
      const wait = async () => {
        waits += 1;
        goesOn.resolve(undefined);
        await push;
      };
      assert.deepEqual(await found(store, { settleMs: 1_000_000, wait }), [], `at call ${at}`);
      goesOn.resolve(undefined);
      await push;
    }
    assert.ok(waits > 2);
  });

  it('looks again at what a young object names, once it has settled', async () => {
    const store = new MemoryStore();
    const { layer } = await fillRepository(store, 'team/app');
    await store.delete([blobData(layer)]);
    const waits: number[] = [];
    const wait = async (milliseconds: number) => {
      waits.push(milliseconds);
      await Promise.resolve();
    };
    const all = await found(store, { settleMs: 100_000, wait });
    assert.deepEqual(
      all.map(({ kind }) => kind),
      ['blob-missing'],
    );
    assert.ok(waits.length === 1 && waits[0] !== undefined && waits[0] > 0 && waits[0] <= 100_000);
    assert.equal((await found(store, { settleMs: 0, wait })).length, 1);
    assert.equal(waits.length, 1);
  });

  /** The act, once at each call that verify makes of a bucket with three repositories. */
  async function atEachStep(act: (store: ObjectStore) => Promise<unknown>): Promise<void> {
    let steps = 0;
    for (let at = 0, happens = true; happens; at++) {
      const store = new SmallPages();
      for (const one of ['team/a', 'team/app', 'team/web']) await fillRepository(store, one);
      const { store: between, happened } = interrupted(store, at, async () => await act(store));
      assert.deepEqual(await found(between), [], `at call ${at}`);
      happens = happened();
      steps = at;
    }
    assert.ok(steps > 60);
  }
});

/** A bucket whose ETags say nothing about the content, as with KMS. */
class OtherEtags extends MemoryStore {
  override async list(options: ListOptions): Promise<Listing> {
    const listing = await super.list(options);
    return { ...listing, objects: listing.objects.map((object) => ({ ...object, etag: 'unknown' })) };
  }
}

describe('what verify costs', () => {
  /** The requests to a bucket whose ETags are MD5s, as on S3. */
  async function cost(
    repositories: number,
    options: VerifyOptions,
    store = new MemoryStore(),
  ): Promise<Record<string, number>> {
    for (let i = 0; i < repositories; i++) await fillRepository(store, `team/app${i}`);
    const asked: Record<string, number> = {};
    const counted = intercepted(store, (method) => {
      asked[method] = (asked[method] ?? 0) + 1;
    });
    assert.deepEqual(await found(counted, options), []);
    return asked;
  }

  it('costs as many requests as docs/verify.md says', async () => {
    const [repositories, referrers] = [3, 3];
    const manifests = repositories * sampleManifests;
    // The listings of blobs, repositories and uploads fit on a page each.
    const list = 3;
    // Each manifest, each entry of a referrer, the progress of a scan in each repository with referrers, and each upload.
    const read = manifests + referrers + repositories + repositories;
    // Whether each referrer has an entry.
    const head = referrers;
    assert.deepEqual(await cost(repositories, { sample: { kind: 'none' } }), { list, read, head });
    assert.deepEqual(await cost(repositories, {}), { list, read, head, open: repositories * sampleBlobs });
    const hints = await cost(repositories, { mountHints: new MountHints(['a secret']) });
    const blobs = repositories * sampleBlobs;
    assert.deepEqual(hints, { list: list + 1, read, head: head + blobs, open: blobs });
    // Each link is read, and the index of each tag is looked for.
    const links = repositories * (sampleLayers + sampleManifests);
    const tags = repositories * 2;
    assert.deepEqual(await cost(repositories, { sample: { kind: 'none' } }, new OtherEtags()), {
      list,
      read: read + links + tags,
      head: head + tags,
    });
  });
});
