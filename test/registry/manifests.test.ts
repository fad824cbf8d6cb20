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

describe('a manifest that is put', () => {
  it('by tag comes back byte for byte by tag and by digest, with its type and size', async () => {
    const name = fresh();
    const bytes = await image(name);
    const { info, manifest } = await registry().manifests.put(name, tagged('v1'), bytes, types.ociImage);
    assert.deepEqual(info, { digest: digestOf(bytes), mediaType: types.ociImage, size: bytes.length });
    assert.equal(manifest.blobs.length, 2);
    await assertFolderExists(name, tagged('v1'), bytes);
    await assertFolderExists(name, byDigest(info.digest), bytes);
    assert.deepEqual(await tagsOf(name), ['v1']);
  });

  it('by digest has no tag', async () => {
    const name = fresh();
    const bytes = await image(name);
    await assertFolderExists(name, byDigest(await push(name, bytes, digestOf(bytes))), bytes);
    assert.deepEqual(await tagsOf(name), []);
  });

  it('keeps the type it has, also where it does not say it', async () => {
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

  it('by another digest than its own is refused, and nothing is stored', async () => {
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

  it('and is none is refused before the bucket is touched', async () => {
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

  it('is unknown in every other repository', async () => {
    const [name, other] = [fresh(), fresh()];
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    await assertUnknown(other, byDigest(digestOf(bytes)));
    await assertUnknown(other, tagged('v1'));
  });

  it('again under another tag or the same is no error', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1', 'v1', 'latest', digestOf(bytes));
    for (const tag of ['v1', 'latest']) await assertFolderExists(name, tagged(tag), bytes);
  });

  it('under a tag that was another moves the tag and leaves the other', async () => {
    const name = fresh();
    const [old, next] = [await image(name), await image(name)];
    await push(name, old, 'v1');
    await push(name, next, 'v1');
    await assertFolderExists(name, tagged('v1'), next);
    await assertFolderExists(name, byDigest(digestOf(old)), old);
  });

  it('with a missing subject is taken, and the subject told', async () => {
    const name = fresh();
    const subject = digestFrom('sha256', '5'.repeat(64));
    const bytes = await image(name, { subject: descriptor(subject) });
    const { manifest } = await registry().manifests.put(name, tagged('sig'), bytes, undefined);
    assert.equal(manifest.subject, subject);
    await assertFolderExists(name, tagged('sig'), bytes);
  });

  it('is read from the bucket once for many who ask at the same time', async () => {
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

  it('with a layer that can be had elsewhere need not have it here', async () => {
    const name = fresh();
    const foreign = descriptor(digestFrom('sha256', 'f'.repeat(64)), {
      mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      urls: ['https://example.com/layer'],
    });
    const bytes = await image(name, { layers: [foreign] });
    await push(name, bytes, 'windows');
    await assertFolderExists(name, tagged('windows'), bytes);
  });

  it('as an index comes back, when its children are here', async () => {
    const name = fresh();
    const images = [await image(name), await image(name)];
    for (const each of images) await push(name, each, digestOf(each));
    const bytes = indexOf(images.map(digestOf));
    await push(name, bytes, 'multi');
    await assertFolderExists(name, tagged('multi'), bytes, types.ociIndex);
  });
});

describe('a manifest whose content is not all there', () => {
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

  it('is refused with every missing blob listed, in order, the config first', async () => {
    const name = fresh();
    const here = await pushBlob(name);
    const [config, first, last] = numbered(3) as [Digest, Digest, Digest];
    assert.deepEqual(await missingFrom(name, imageOf(config, [first, here, last, first])), [
      config,
      first,
      last,
    ]);
  });

  it('is refused with every one of a hundred missing layers listed', async () => {
    const name = fresh();
    const layers = numbered(100);
    assert.deepEqual(await missingFrom(name, imageOf(await pushBlob(name), layers)), layers);
  });

  it('is refused when a blob is in another repository only', async () => {
    const [name, other] = [fresh(), fresh()];
    const elsewhere = await pushBlob(other);
    assert.deepEqual(await missingFrom(name, imageOf(await pushBlob(name), [elsewhere])), [elsewhere]);
  });

  it('is refused when a blob has its link here and no bytes, as after a garbage collection', async () => {
    const name = fresh();
    const swept = await pushBlob(name);
    await store.delete([blobData(swept)]);
    assert.deepEqual(await missingFrom(name, imageOf(await pushBlob(name), [swept])), [swept]);
  });

  it('is refused when a blob was removed from this repository', async () => {
    const name = fresh();
    const removed = await pushBlob(name);
    await registry().blobs.delete(name, removed);
    assert.deepEqual(await missingFrom(name, imageOf(await pushBlob(name), [removed])), [removed]);
  });

  it('is refused as an index with every missing child listed; a blob is no child', async () => {
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

  it('is taken when they are here, and comes back', async () => {
    const name = fresh();
    const [layer, cache] = [await pushBlob(name), await pushBlob(name)];
    const bytes = index(
      descriptor(layer, { mediaType: layerType }),
      descriptor(cache, { mediaType: cacheType }),
    );
    await push(name, bytes, 'cache');
    await assertFolderExists(name, tagged('cache'), bytes, types.ociIndex);
  });

  it('is refused with each of them listed once that is not in this repository', async () => {
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

  it('may have manifests among them, by the types of manifests and by others', async () => {
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
    it(`has none that calls itself ${mediaType}, also where it is one by another name`, async () => {
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

  it('need not have layers that are to be had elsewhere', async () => {
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
    it(`is damaged and not missing: ${what}`, async () => {
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

  it('is told by tag and by digest, though no link says its type', async () => {
    const name = fresh();
    const bytes = await image(name, { mediaType: types.dockerImage });
    await writeAsDistribution(name, 'v1', bytes);
    await assertFolderExists(name, tagged('v1'), bytes, types.dockerImage);
    await assertFolderExists(name, byDigest(digestOf(bytes)), bytes, types.dockerImage);
  });

  it('in the place of a tag of ours is told, and not what we noted with ours', async () => {
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

  it('may be schema 1, which is served as that and not taken', async () => {
    const name = fresh();
    const bytes = bytesOf({ schemaVersion: 1, name, tag: 'old', fsLayers: [] });
    await writeAsDistribution(name, 'old', bytes);
    await assertFolderExists(name, tagged('old'), bytes, 'application/vnd.docker.distribution.manifest.v1+json');
    await assert.rejects(push(name, bytes, 'new'), { failure: 'MANIFEST_INVALID' });
  });

  it('is unknown once it deletes the revision, which it does before the tags', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    await store.delete([revisionLink(name, digestOf(bytes))]);
    await assertUnknown(name, tagged('v1'));
    await assertUnknown(name, byDigest(digestOf(bytes)));
  });

  it('may end its links with a line feed, by an editor of hands', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    await write(tagLink(name, parseTag('v1')), `${digestOf(bytes)}\n`);
    await assertFolderExists(name, tagged('v1'), bytes);
  });

  for (const content of ['', 'sha256:', '../../../etc/passwd', `sha384:${'a'.repeat(96)}`])
    it(`is damaged and not missing when a link holds ${JSON.stringify(content.slice(0, 20))}`, async () => {
      const name = fresh();
      await push(name, await image(name), 'v1');
      await write(tagLink(name, parseTag('v1')), content);
      await assert.rejects(registry().manifests.get(name, tagged('v1')), { failure: 'UNKNOWN', status: 500 });
    });
});
