import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDigest, digestFrom, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { parseReference, type Reference } from '../../lib/protocol/references.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import {
  blobData,
  layerLink,
  repositoryPrefix,
  revisionLink,
  tagIndexLink,
  tagLink,
  tagsPrefix,
} from '../../lib/registry/layout.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { Tags } from '../../lib/registry/tags.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

const types = {
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  ociImage: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
};

let folder: Folder;
let store: FilesystemStore;

before(async () => {
  folder = await temporaryFolder('manifests');
  store = await FilesystemStore.open(folder.path);
});

after(() => {
  folder.remove();
});

/** Another process every time. */
const registry = (on: ObjectStore = store): Registry => createRegistry(on);

let repositories = 0;
const fresh = (): RepositoryName => parseRepositoryName(`team/app${(repositories += 1)}`);

const tagged = (tag: string): Reference => ({ kind: 'tag', tag: parseTag(tag) });
const byDigest = (digest: Digest): Reference => ({ kind: 'digest', digest });
const digestOf = (bytes: Uint8Array): Digest =>
  digestFrom('sha256', createHash('sha256').update(bytes).digest('hex'));

async function* body(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield await Promise.resolve(bytes);
}

async function pushBlob(name: RepositoryName, bytes = randomBytes(20)): Promise<Digest> {
  const digest = digestOf(bytes);
  await registry().uploads.put(name, digest, { body: body(bytes), length: bytes.length });
  return digest;
}

const descriptor = (digest: Digest, more: object = {}) => ({
  mediaType: 'application/octet-stream',
  digest,
  size: 20,
  ...more,
});

/** In a layout of its own, which must come back as it is. */
const bytesOf = (document: unknown): Buffer => Buffer.from(`${JSON.stringify(document, undefined, 3)}\n\n`);

const imageOf = (config: Digest, layers: readonly Digest[], more: object = {}): Buffer =>
  bytesOf({
    schemaVersion: 2,
    mediaType: types.ociImage,
    config: descriptor(config),
    layers: layers.map((layer) => descriptor(layer)),
    ...more,
  });

/** @param mediaType of the children */
const indexOf = (children: readonly Digest[], mediaType = types.ociImage): Buffer =>
  bytesOf({
    schemaVersion: 2,
    mediaType: types.ociIndex,
    manifests: children.map((child) => descriptor(child, { mediaType })),
  });

/** An image nobody has pushed yet, whose blobs are in the repository. */
async function image(name: RepositoryName, more: object = {}): Promise<Buffer> {
  return imageOf(await pushBlob(name), [await pushBlob(name)], more);
}

async function push(name: RepositoryName, bytes: Buffer, ...references: string[]): Promise<Digest> {
  for (const reference of references)
    await registry().manifests.put(name, parseReference(reference), bytes, undefined);
  return digestOf(bytes);
}

async function keysBelow(prefix: string): Promise<readonly string[]> {
  return (await store.list({ prefix })).objects.map(({ key }) => key);
}

async function tagsOf(name: RepositoryName): Promise<readonly string[]> {
  return (await registry().tags.list(name, { n: 1000, last: '' })).names;
}

const unknown = { failure: 'MANIFEST_UNKNOWN', status: 404 };

async function assertUnknown(name: RepositoryName, reference: Reference): Promise<void> {
  await assert.rejects(registry().manifests.get(name, reference), unknown);
}

async function assertThere(
  name: RepositoryName,
  reference: Reference,
  bytes: Buffer,
  mediaType = types.ociImage,
): Promise<void> {
  const info = { digest: digestOf(bytes), mediaType, size: bytes.length };
  assert.deepEqual(await registry().manifests.get(name, reference), { info, bytes });
}

describe('a manifest that is put', () => {
  it('by tag comes back byte for byte by tag and by digest, with its type and size', async () => {
    const name = fresh();
    const bytes = await image(name);
    const { info, manifest } = await registry().manifests.put(name, tagged('v1'), bytes, types.ociImage);
    assert.deepEqual(info, { digest: digestOf(bytes), mediaType: types.ociImage, size: bytes.length });
    assert.equal(manifest.blobs.length, 2);
    await assertThere(name, tagged('v1'), bytes);
    await assertThere(name, byDigest(info.digest), bytes);
    assert.deepEqual(await tagsOf(name), ['v1']);
  });

  it('by digest has no tag', async () => {
    const name = fresh();
    const bytes = await image(name);
    await assertThere(name, byDigest(await push(name, bytes, digestOf(bytes))), bytes);
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
      await assertThere(name, tagged('typed'), bytes, expected);
      await assertThere(name, byDigest(digestOf(bytes)), bytes, expected);
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
    for (const tag of ['v1', 'latest']) await assertThere(name, tagged(tag), bytes);
  });

  it('under a tag that was another moves the tag and leaves the other', async () => {
    const name = fresh();
    const [old, next] = [await image(name), await image(name)];
    await push(name, old, 'v1');
    await push(name, next, 'v1');
    await assertThere(name, tagged('v1'), next);
    await assertThere(name, byDigest(digestOf(old)), old);
  });

  it('with a missing subject is taken, and the subject told', async () => {
    const name = fresh();
    const subject = digestFrom('sha256', '5'.repeat(64));
    const bytes = await image(name, { subject: descriptor(subject) });
    const { manifest } = await registry().manifests.put(name, tagged('sig'), bytes, undefined);
    assert.equal(manifest.subject, subject);
    await assertThere(name, tagged('sig'), bytes);
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
    await assertThere(name, tagged('windows'), bytes);
  });

  it('as an index comes back, when its children are here', async () => {
    const name = fresh();
    const images = [await image(name), await image(name)];
    for (const each of images) await push(name, each, digestOf(each));
    const bytes = indexOf(images.map(digestOf));
    await push(name, bytes, 'multi');
    await assertThere(name, tagged('multi'), bytes, types.ociIndex);
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
    await assertThere(name, tagged('cache'), bytes, types.ociIndex);
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
      await assertThere(name, tagged('v1'), bytes);
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
    await assertThere(name, tagged('v1'), bytes, types.dockerImage);
    await assertThere(name, byDigest(digestOf(bytes)), bytes, types.dockerImage);
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
    await assertThere(name, tagged('v1'), theirs, types.dockerImage);
  });

  it('may be schema 1, which is served as that and not taken', async () => {
    const name = fresh();
    const bytes = bytesOf({ schemaVersion: 1, name, tag: 'old', fsLayers: [] });
    await writeAsDistribution(name, 'old', bytes);
    await assertThere(name, tagged('old'), bytes, 'application/vnd.docker.distribution.manifest.v1+json');
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
    await assertThere(name, tagged('v1'), bytes);
  });

  for (const content of ['', 'sha256:', '../../../etc/passwd', `sha384:${'a'.repeat(96)}`])
    it(`is damaged and not missing when a link holds ${JSON.stringify(content.slice(0, 20))}`, async () => {
      const name = fresh();
      await push(name, await image(name), 'v1');
      await write(tagLink(name, parseTag('v1')), content);
      await assert.rejects(registry().manifests.get(name, tagged('v1')), { failure: 'UNKNOWN', status: 500 });
    });
});

describe('deleting', () => {
  it('a tag leaves its manifest and all other tags', async () => {
    const name = fresh();
    const bytes = await image(name);
    const tags = ['v1', 'v1-rc', 'v1.0', 'v10', 'v1_x', 'V1'];
    await push(name, bytes, ...tags);
    await registry().manifests.delete(name, tagged('v1'));
    await assertUnknown(name, tagged('v1'));
    await assertThere(name, byDigest(digestOf(bytes)), bytes);
    for (const tag of tags.slice(1)) await assertThere(name, tagged(tag), bytes);
    assert.deepEqual(await tagsOf(name), tags.slice(1).sort());
    assert.deepEqual(await keysBelow(`${tagsPrefix(name)}v1/`), []);
  });

  it('a manifest takes every tag that points at it, and leaves those that once did', async () => {
    const name = fresh();
    const [doomed, kept] = [await image(name), await image(name)];
    await push(name, doomed, 'a', 'b', 'moved', 'b.1');
    await push(name, kept, 'moved', 'kept');
    // Back and forth: it points at the doomed one again.
    await push(name, kept, 'back');
    await push(name, doomed, 'back');
    await registry().manifests.delete(name, byDigest(digestOf(doomed)));
    for (const tag of ['a', 'b', 'b.1', 'back']) await assertUnknown(name, tagged(tag));
    await assertUnknown(name, byDigest(digestOf(doomed)));
    for (const tag of ['moved', 'kept']) await assertThere(name, tagged(tag), kept);
    assert.deepEqual(await tagsOf(name), ['kept', 'moved']);
  });

  it('a manifest leaves it in every other repository', async () => {
    const [name, other] = [fresh(), fresh()];
    const blob = randomBytes(20);
    const bytes = imageOf(await pushBlob(name, blob), [await pushBlob(other, blob)]);
    for (const each of [name, other]) await push(each, bytes, 'v1');
    await registry().manifests.delete(name, byDigest(digestOf(bytes)));
    await assertUnknown(name, tagged('v1'));
    await assertThere(other, tagged('v1'), bytes);
    await assertThere(other, byDigest(digestOf(bytes)), bytes);
  });

  it('what is not there is MANIFEST_UNKNOWN, also the second time', async () => {
    const name = fresh();
    const bytes = await image(name);
    await assert.rejects(registry().manifests.delete(name, tagged('v1')), unknown);
    await assert.rejects(registry().manifests.delete(name, byDigest(digestOf(bytes))), unknown);
    await push(name, bytes, 'v1', 'v2');
    await registry().manifests.delete(name, tagged('v1'));
    await assert.rejects(registry().manifests.delete(name, tagged('v1')), unknown);
    await registry().manifests.delete(name, byDigest(digestOf(bytes)));
    await assert.rejects(registry().manifests.delete(name, byDigest(digestOf(bytes))), unknown);
  });

  it('a blob removes the link of this repository and never the shared bytes', async () => {
    const [name, other] = [fresh(), fresh()];
    const bytes = randomBytes(20);
    const digest = await pushBlob(name, bytes);
    await pushBlob(other, bytes);
    await registry().blobs.delete(name, digest);
    await assert.rejects(registry().blobs.stat(name, digest), { failure: 'BLOB_UNKNOWN' });
    await assert.rejects(registry().blobs.delete(name, digest), { failure: 'BLOB_UNKNOWN' });
    assert.deepEqual(await registry().blobs.stat(other, digest), { digest, size: 20 });
    assert.equal(await registry().blobs.mount(name, digest, fresh()), false);
    assert.equal(await registry().blobs.mount(name, digest, other), true);
    assert.deepEqual(await registry().blobs.stat(name, digest), { digest, size: 20 });
  });
});

/** Thrown by every call of a store after a process was killed. */
class Killed extends Error {}

interface KillOptions {
  /** After how many changes. */
  readonly after: number;
  /** Whether the next change is still made, and only its answer lost. */
  readonly done: boolean;
  /** Order in which a delete of several keys takes them; no store promises one. */
  readonly order?: 'forward' | 'backward';
}

/**
 * The store of a process that is killed between two changes of the bucket. One delete of several keys counts as that
 * many: a store may be interrupted among them.
 */
function killed({ after, done, order = 'forward' }: KillOptions): {
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
  for (const done of [false, true])
    for (let after = 0; ; after += 1) {
      const { request, check } = await prepare();
      const process = killed({ after, done, ...(order && { order }) });
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
  it('of a first push leaves no tag that points nowhere, and the push can be repeated', async () => {
    const kills = await killedAnywhere(async () => {
      const name = fresh();
      const bytes = await image(name);
      return {
        request: async ({ manifests }) => await manifests.put(name, tagged('v1'), bytes, undefined),
        check: async () => {
          await assertNoTagPointsNowhere(name, ['v1']);
          await push(name, bytes, 'v1');
          await assertThere(name, tagged('v1'), bytes);
        },
      };
    });
    assert.ok(kills >= 8, `${kills} kills`);
  });

  it('of a push that moves a tag leaves the tag at the old manifest or the new', async () => {
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
    it(`of deleting a manifest leaves no tag that points nowhere, where the store deletes ${order}`, async () => {
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
    it(`of deleting a tag leaves the tag whole or gone, where the store deletes ${order}`, async () => {
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
            await assertThere(name, byDigest(digestOf(next)), next);
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
      key.replace(repositoryPrefix(name), '_').replace(/sha256\/.*/, 'sha256');
    const recording = new Proxy<ObjectStore>(store, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (property === 'put') rows.push([`put ${short(args[0] as string)}`]);
          if (property === 'delete') rows.push((args[0] as string[]).map((key) => `delete ${short(key)}`));
          return (await Reflect.apply(value, target, args)) as unknown;
        };
      },
    });
    await request(registry(recording));
    return rows;
  }

  it('of a push: what the tag points at, and then the tag', async () => {
    const name = fresh();
    const bytes = await image(name);
    const rows = await changes(
      name,
      async ({ manifests }) => await manifests.put(name, tagged('v1'), bytes, undefined),
    );
    assert.deepEqual(rows.slice(0, -1).flat().sort(), [
      'put _manifests/revisions/sha256',
      'put _manifests/tags/v1/index/sha256',
      'put docker/registry/v2/blobs/sha256',
    ]);
    assert.deepEqual(rows.at(-1), ['put _manifests/tags/v1/current/link']);
  });

  it('of deleting a manifest: its tags, and then the manifest; its bytes never', async () => {
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1', 'v2');
    const rows = await changes(name, async ({ manifests }) => {
      await manifests.delete(name, byDigest(digestOf(bytes)));
    });
    assert.deepEqual(
      rows.map((row) => row.toSorted()),
      [
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
  it('is never told as a missing manifest or blob', async () => {
    const name = fresh();
    const bytes = await image(name);
    const digest = await push(name, bytes, 'v1');
    const outage = new Error('no route to host');
    const down = new Proxy<ObjectStore>(store, {
      get: (target, property) =>
        property === 'limits' ? target.limits : async () => await Promise.reject(outage),
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
