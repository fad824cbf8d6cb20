import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { digestFrom, type Digest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { blobData, revisionLink, tagIndexLink, tagLink, tagsPrefix } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import {
  assertFolderExists,
  assertUnknown,
  byDigest,
  bytesOf,
  descriptor,
  digestOf,
  folder,
  fresh,
  image,
  imageOf,
  indexOf,
  keysBelow,
  push,
  pushBlob,
  registry,
  store,
  tagged,
  tagsOf,
  types,
} from './manifest-steps.ts';

describe('a pushed manifest', () => {
  it('a manifest pushed by tag is served unchanged by tag and by digest', async () => {
    const name = fresh();
    const bytes = await image(name);
    const { info, manifest } = await registry().manifests.put(name, tagged('v1'), bytes, types.ociImage);
    assert.deepEqual(info, { digest: digestOf(bytes), mediaType: types.ociImage, size: bytes.length });
    assert.equal(manifest.blobs.length, 2);
    await assertFolderExists(name, tagged('v1'), bytes);
    await assertFolderExists(name, byDigest(info.digest), bytes);
    assert.deepEqual(await tagsOf(name), ['v1']);
  });

  it('a manifest pushed by digest has no tag', async () => {
    const name = fresh();
    const bytes = await image(name);
    await assertFolderExists(name, byDigest(await push(name, bytes, digestOf(bytes))), bytes);
    assert.deepEqual(await tagsOf(name), []);
  });

  it('a manifest keeps its media type, even if it has no such field', async () => {
    const name = fresh();
    const [config, layer] = [await pushBlob(name), await pushBlob(name)];
    for (const [mediaType, expected] of [
      [types.dockerImage, types.dockerImage],
      [undefined, types.ociImage],
    ] as const) {
      const bytes = imageOf(config, [layer], { mediaType });
      await push(name, bytes, 'typed');
      await assertFolderExists(name, tagged('typed'), bytes, expected);
      await assertFolderExists(name, byDigest(digestOf(bytes)), bytes, expected);
    }
  });

  it('a manifest pushed by a wrong digest is refused and not stored', async () => {
    const name = fresh();
    const bytes = await image(name);
    const wrong = digestFrom('sha256', '0'.repeat(64));
    await assert.rejects(registry().manifests.put(name, byDigest(wrong), bytes, undefined), {
      failure: 'DIGEST_INVALID',
    });
    await assertUnknown(name, byDigest(digestOf(bytes)));
    await assertUnknown(name, byDigest(wrong));
    await assert.rejects(store.head(blobData(digestOf(bytes))));
  });

  it('an invalid manifest is refused before any bucket request', async () => {
    const untouched = new Proxy(store, { get: () => assert.fail('the store was used') });
    await assert.rejects(
      registry(untouched).manifests.put(fresh(), tagged('v1'), Buffer.from('{}'), undefined),
      { failure: 'MANIFEST_INVALID' },
    );
    const large = Buffer.alloc(4 * 1024 * 1024 + 1, ' ');
    await assert.rejects(registry(untouched).manifests.put(fresh(), tagged('v1'), large, undefined), {
      failure: 'MANIFEST_TOO_LARGE',
    });
  });

  it('a manifest is unknown in every other repository', async () => {
    const [name, other] = [fresh(), fresh()];
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    await assertUnknown(other, byDigest(digestOf(bytes)));
    await assertUnknown(other, tagged('v1'));
  });

  it('a manifest can be pushed again under another tag or the same', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1', 'v1', 'latest', digestOf(bytes));
    for (const tag of ['v1', 'latest']) await assertFolderExists(name, tagged(tag), bytes);
  });

  it('a push moves an existing tag and keeps the old manifest', async () => {
    const name = fresh();
    const [old, next] = [await image(name), await image(name)];
    await push(name, old, 'v1');
    await push(name, next, 'v1');
    await assertFolderExists(name, tagged('v1'), next);
    await assertFolderExists(name, byDigest(digestOf(old)), old);
  });

  it('a manifest with a missing subject is accepted', async () => {
    const name = fresh();
    const subject = digestFrom('sha256', '5'.repeat(64));
    const bytes = await image(name, { subject: descriptor(subject) });
    const { manifest } = await registry().manifests.put(name, tagged('sig'), bytes, undefined);
    assert.equal(manifest.subject, subject);
    await assertFolderExists(name, tagged('sig'), bytes);
  });

  it('concurrent reads of a manifest share one bucket read', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'popular');
    let reads = 0;
    const counting = new Proxy(store, {
      get(target, property) {
        if (property === 'read') {
          return async (key: string, limit: number) => {
            if (key === blobData(digestOf(bytes))) reads++;
            return await target.read(key, limit);
          };
        }
        const value: unknown = Reflect.get(target, property, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const { manifests } = createRegistry(counting);
    const pulled = await Promise.all(
      Array.from({ length: 50 }, async () => await manifests.get(name, tagged('popular'))),
    );
    assert.ok(pulled.every((one) => one.bytes.equals(bytes)));
    assert.equal(reads, 1);
  });

  it('a manifest needs no foreign layers', async () => {
    const name = fresh();
    const foreign = descriptor(digestFrom('sha256', 'f'.repeat(64)), {
      mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      urls: ['https://example.com/layer'],
    });
    const bytes = await image(name, { layers: [foreign] });
    await push(name, bytes, 'windows');
    await assertFolderExists(name, tagged('windows'), bytes);
  });

  it('an index is served if its children exist', async () => {
    const name = fresh();
    const images = [await image(name), await image(name)];
    for (const each of images) await push(name, each, digestOf(each));
    const bytes = indexOf(images.map(digestOf));
    await push(name, bytes, 'multi');
    await assertFolderExists(name, tagged('multi'), bytes, types.ociIndex);
  });
});

describe('an incomplete manifest', () => {
  async function missingFrom(name: RepositoryName, bytes: Buffer): Promise<readonly unknown[]> {
    try {
      await registry().manifests.put(name, tagged('broken'), bytes, undefined);
    } catch (error) {
      const { failure, errors } = error as { failure?: string; errors: { detail: { digest: unknown } }[] };
      assert.equal(failure, 'MANIFEST_BLOB_UNKNOWN', String(error));
      await assertUnknown(name, tagged('broken'));
      await assertUnknown(name, byDigest(digestOf(bytes)));
      assert.deepEqual(await keysBelow(tagsPrefix(name)), []);
      return errors.map(({ detail }) => detail.digest);
    }
    assert.fail('it was taken');
  }

  const numbered = (count: number): Digest[] =>
    Array.from({ length: count }, (_, i) => digestFrom('sha256', i.toString(16).padStart(64, 'e')));

  it('a manifest with missing blobs is refused with each listed in order, config first', async () => {
    const name = fresh();
    const here = await pushBlob(name);
    const [config, first, last] = numbered(3) as [Digest, Digest, Digest];
    assert.deepEqual(await missingFrom(name, imageOf(config, [first, here, last, first])), [
      config,
      first,
      last,
    ]);
  });

  it('a manifest with a hundred missing layers is refused with each listed', async () => {
    const name = fresh();
    const layers = numbered(100);
    assert.deepEqual(await missingFrom(name, imageOf(await pushBlob(name), layers)), layers);
  });

  it('a manifest with a blob of another repository is refused', async () => {
    const [name, other] = [fresh(), fresh()];
    const elsewhere = await pushBlob(other);
    assert.deepEqual(await missingFrom(name, imageOf(await pushBlob(name), [elsewhere])), [elsewhere]);
  });

  it('a manifest is refused if a blob has a link but no bytes, as after a garbage collection', async () => {
    const name = fresh();
    const swept = await pushBlob(name);
    await store.delete([blobData(swept)]);
    assert.deepEqual(await missingFrom(name, imageOf(await pushBlob(name), [swept])), [swept]);
  });

  it('a manifest is refused if a blob was removed from its repository', async () => {
    const name = fresh();
    const removed = await pushBlob(name);
    await registry().blobs.delete(name, removed);
    assert.deepEqual(await missingFrom(name, imageOf(await pushBlob(name), [removed])), [removed]);
  });

  it('an index is refused with every missing child listed; a blob is no child', async () => {
    const [name, other] = [fresh(), fresh()];
    const [here, elsewhere] = [await image(name), await image(other)];
    await push(name, here, digestOf(here));
    await push(other, elsewhere, digestOf(elsewhere));
    const blob = await pushBlob(name);
    const [nowhere] = numbered(1) as [Digest];
    const children = [nowhere, digestOf(here), digestOf(elsewhere), blob];
    assert.deepEqual(await missingFrom(name, indexOf(children)), [nowhere, digestOf(elsewhere), blob]);
  });
});

/** BuildKit keeps its caches so: layers and a description of them, all blobs (buildkit#2251). */
describe('an index of blobs', () => {
  const cacheType = 'application/vnd.buildkit.cacheconfig.v0';
  const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

  const index = (...entries: readonly object[]): Buffer =>
    bytesOf({ schemaVersion: 2, mediaType: types.ociIndex, manifests: entries });

  async function missingFrom(name: RepositoryName, bytes: Buffer): Promise<readonly unknown[]> {
    try {
      await registry().manifests.put(name, tagged('cache'), bytes, undefined);
      return [];
    } catch (error) {
      const { failure, errors } = error as { failure?: string; errors: { detail: { digest: unknown } }[] };
      assert.equal(failure, 'MANIFEST_BLOB_UNKNOWN', String(error));
      return errors.map(({ detail }) => detail.digest);
    }
  }

  it('an index of existing blobs is accepted and served', async () => {
    const name = fresh();
    const [layer, cache] = [await pushBlob(name), await pushBlob(name)];
    const bytes = index(
      descriptor(layer, { mediaType: layerType }),
      descriptor(cache, { mediaType: cacheType }),
    );
    await push(name, bytes, 'cache');
    await assertFolderExists(name, tagged('cache'), bytes, types.ociIndex);
  });

  it('an index of blobs is refused with each missing blob listed once', async () => {
    const [name, other] = [fresh(), fresh()];
    const [here, elsewhere] = [await pushBlob(name), await pushBlob(other)];
    const nowhere = digestOf(randomBytes(20));
    const bytes = index(
      descriptor(nowhere, { mediaType: cacheType }),
      descriptor(here, { mediaType: layerType }),
      descriptor(elsewhere, { mediaType: layerType }),
      descriptor(nowhere, { mediaType: layerType }),
    );
    assert.deepEqual(await missingFrom(name, bytes), [nowhere, elsewhere]);
  });

  it('an index may contain blobs and manifests, of manifest types and of others', async () => {
    const name = fresh();
    const manifest = await image(name);
    await push(name, manifest, digestOf(manifest));
    const blob = await pushBlob(name);
    const bytes = index(
      descriptor(digestOf(manifest), { mediaType: types.ociImage }),
      descriptor(digestOf(manifest), { mediaType: 'application/vnd.example.other' }),
      descriptor(blob, { mediaType: layerType }),
    );
    assert.deepEqual(await missingFrom(name, bytes), []);
  });

  for (const mediaType of [
    ...Object.values(types),
    'application/vnd.docker.distribution.manifest.list.v2+json',
    'application/vnd.docker.distribution.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
  ])
    it(`an index entry of type ${mediaType} is not a blob`, async () => {
      const name = fresh();
      const blob = await pushBlob(name);
      assert.deepEqual(
        await missingFrom(
          name,
          index(descriptor(blob, { mediaType: layerType }), descriptor(blob, { mediaType })),
        ),
        [blob],
      );
    });

  it('an index of blobs needs no foreign layers', async () => {
    const name = fresh();
    const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';
    const absent = digestOf(randomBytes(20));
    const urls = ['https://example.com/layer'];
    assert.deepEqual(await missingFrom(name, index(descriptor(absent, { mediaType, urls }))), []);
    assert.deepEqual(await missingFrom(name, index(descriptor(absent, { mediaType }))), [absent]);
    assert.deepEqual(
      await missingFrom(name, index(descriptor(absent, { mediaType: types.ociImage, urls }))),
      [absent],
    );
  });
});

describe('a manifest whose bytes in the bucket are not its own', () => {
  const damages: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
    altered: (bytes) =>
      Buffer.from(bytes.toString().replace('application/octet-stream', 'application/octet-strean')),
    'cut short': (bytes) => bytes.subarray(0, -10),
    emptied: () => Buffer.alloc(0),
    'far too many': (bytes) => Buffer.concat([bytes, Buffer.alloc(17 * 1024 ** 2)]),
  };

  for (const [what, damage] of Object.entries(damages))
    it(`a manifest whose bytes do not match is reported as damaged, not as missing: ${what}`, async () => {
      const name = fresh();
      const bytes = await image(name);
      const digest = await push(name, bytes, 'v1');
      await store.put(blobData(digest), damage(bytes));
      for (const reference of [tagged('v1'), byDigest(digest)])
        await assert.rejects(registry().manifests.get(name, reference), {
          failure: 'UNKNOWN',
          status: 500,
          message: /push it again/,
        });
      await push(name, bytes, 'v1');
      await assertFolderExists(name, tagged('v1'), bytes);
    });
});

describe('what distribution wrote', () => {
  /** The way its driver does: a file, and nothing kept beside it. */
  async function write(key: string, content: Uint8Array | string): Promise<void> {
    await store.put(key, Buffer.from('made for its folder'));
    await writeFile(join(folder.path, key), content);
  }

  async function writeAsDistribution(name: RepositoryName, tag: string, bytes: Buffer): Promise<void> {
    const digest = digestOf(bytes);
    await write(blobData(digest), bytes);
    await write(revisionLink(name, digest), digest);
    await write(tagIndexLink(name, parseTag(tag), digest), digest);
    await write(tagLink(name, parseTag(tag)), digest);
  }

  it('a manifest of distribution is served by tag and by digest, though no link has its type', async () => {
    const name = fresh();
    const bytes = await image(name, { mediaType: types.dockerImage });
    await writeAsDistribution(name, 'v1', bytes);
    await assertFolderExists(name, tagged('v1'), bytes, types.dockerImage);
    await assertFolderExists(name, byDigest(digestOf(bytes)), bytes, types.dockerImage);
  });

  it('a tag overwritten by distribution is served without our old metadata', async () => {
    const name = fresh();
    const [ours, theirs] = [
      await image(name),
      await image(name, { mediaType: types.dockerImage, note: 'longer' }),
    ];
    await push(name, ours, 'v1');
    await registry().manifests.get(name, tagged('v1'));
    await writeAsDistribution(name, 'v1', theirs);
    await assertFolderExists(name, tagged('v1'), theirs, types.dockerImage);
  });

  it('a schema 1 manifest of distribution is served but not accepted', async () => {
    const name = fresh();
    const bytes = bytesOf({ schemaVersion: 1, name, tag: 'old', fsLayers: [] });
    await writeAsDistribution(name, 'old', bytes);
    await assertFolderExists(
      name,
      tagged('old'),
      bytes,
      'application/vnd.docker.distribution.manifest.v1+json',
    );
    await assert.rejects(push(name, bytes, 'new'), { failure: 'MANIFEST_INVALID' });
  });

  it('a manifest is unknown once distribution deletes its revision, before its tags', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    await store.delete([revisionLink(name, digestOf(bytes))]);
    await assertUnknown(name, tagged('v1'));
    await assertUnknown(name, byDigest(digestOf(bytes)));
  });

  it('a link may end with a line feed from an editor', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    await write(tagLink(name, parseTag('v1')), `${digestOf(bytes)}\n`);
    await assertFolderExists(name, tagged('v1'), bytes);
  });

  for (const content of ['', 'sha256:', '../../../etc/passwd', `sha384:${'a'.repeat(96)}`])
    it(`a link with ${JSON.stringify(content.slice(0, 20))} is reported as damaged, not as missing`, async () => {
      const name = fresh();
      await push(name, await image(name), 'v1');
      await write(tagLink(name, parseTag('v1')), content);
      await assert.rejects(registry().manifests.get(name, tagged('v1')), { failure: 'UNKNOWN', status: 500 });
    });
});
