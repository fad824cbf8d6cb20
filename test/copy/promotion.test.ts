import assert from 'node:assert/strict';
import { it } from 'node:test';
import { copyImage, type CopyOptions } from '../../lib/copy/copy-image.ts';
import { fromStorage } from '../../lib/copy/from-storage.ts';
import { parsePlatform } from '../../lib/copy/platforms.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { TagImmutable, type Immutable } from '../../lib/registry/interface.ts';
import { blobsPrefix, repositoryPrefix, tagLink } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import {
  digestOf,
  freshName,
  pull,
  pushImage,
  pushIndex,
  pushManifest,
  remove,
  tagsOf,
  v1,
  type PushedImage,
} from '../registry/undo/images.ts';
import { onUndoPlaces } from '../registry/undo/places.ts';
import type { Change } from '../../lib/registry/outbox/change.ts';
import { context, Deliveries, outboxOn } from '../registry/outbox/deliveries.ts';
import { attach, pushBlob, signatureTag } from './attached.ts';
import { besideWrite, killed, written } from './written.ts';

interface More extends Partial<CopyOptions> {
  readonly immutable?: Immutable;
  readonly from?: string;
  /** Whether some endpoint takes its events. */
  readonly announces?: boolean;
}

/** Copies v1 from one repository to another of the same storage. */
async function promote(
  store: ObjectStore,
  from: RepositoryName,
  to: RepositoryName,
  { immutable, from: reference = 'v1', announces = false, ...options }: More = {},
) {
  const registry = createRegistry(store);
  const outbox = outboxOn(store, { takes: () => announces });
  const announce = (change: Change) => outbox.announce(change, context);
  const target = { registry, name: to, immutable, pushedBy: 'operator:test', announce };
  return await copyImage(fromStorage(store, registry, from), target, parseReference(reference), {
    tag: v1,
    referrers: true,
    ...options,
  });
}

async function referrersOf(store: ObjectStore, name: RepositoryName, subject: Digest) {
  const page = { n: 100, last: undefined };
  const { descriptors } = await createRegistry(store).referrers.list(name, subject, page, undefined);
  return descriptors.map(({ digest }) => digest);
}

/** An index of one image. */
async function pushIndexed(store: ObjectStore, name: RepositoryName) {
  return { digest: await pushIndex(store, name, [await pushImage(store, name)], 'v1') };
}

const entryOf = ({ digest, bytes }: PushedImage) => ({ digest, size: bytes.length });

/** An index of anything. */
async function pushIndexOf(
  store: ObjectStore,
  name: RepositoryName,
  manifests: readonly object[],
  tag: string,
) {
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  await pushManifest(
    store,
    name,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests })),
    tag,
  );
}

onUndoPlaces('a promotion', (place) => {
  it('of an image takes a small write for each blob, and four for its manifest and tag', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const image = await pushImage(store, from, 'v1');
    await referrersOf(store, from, image.digest);
    const writes = written(store);
    const copied = await promote(writes.store, from, to);
    assert.deepEqual(copied, {
      digest: image.digest,
      isThere: false,
      manifests: 1,
      referrers: 0,
      blobs: 2,
      bytes: 0,
    });
    assert.equal(await pull(store, to, v1), image.digest);
    const all = writes.objects();
    assert.equal(all.length, image.blobs.length + 4);
    const data = all.filter(({ key }) => key.startsWith(blobsPrefix));
    assert.deepEqual(
      data.map(({ size }) => size),
      [image.bytes.length],
    );
    const links = all.filter(({ key }) => !key.startsWith(blobsPrefix));
    assert.ok(links.every(({ key, size }) => key.startsWith(repositoryPrefix(to)) && size < 200));
  });

  it('of an image that is there writes nothing', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const image = await pushImage(store, from, 'v1');
    await promote(store, from, to);
    const writes = written(store);
    const { isThere, manifests } = await promote(writes.store, from, to);
    assert.deepEqual([isThere, manifests, writes.objects().length], [true, 0, 0]);
    assert.equal(await pull(store, to, v1), image.digest);
  });

  it('brings an index with all its images, and what is attached to any of them', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const images = [await pushImage(store, from), await pushImage(store, from)];
    const index = await pushIndex(store, from, images, 'v1');
    const sbom = await attach(store, from, { digest: index, size: 1 });
    const signature = await attach(store, from, { digest: sbom, size: 1 });
    const [first] = images;
    assert.ok(first !== undefined);
    const ofChild = await attach(store, from, { digest: first.digest, size: first.bytes.length });
    const { digest: cosigned } = await pushImage(store, from, signatureTag(index));
    const { manifests, referrers } = await promote(store, from, to);
    assert.deepEqual({ manifests, referrers }, { manifests: 7, referrers: 4 });
    assert.equal(await pull(store, to, v1), index);
    assert.equal(await pull(store, to, parseTag(signatureTag(index))), cosigned);
    assert.deepEqual(await referrersOf(store, to, index), [sbom]);
    assert.deepEqual(await referrersOf(store, to, sbom), [signature]);
    assert.deepEqual(await referrersOf(store, to, first.digest), [ofChild]);
  });

  it('brings what BuildKit pushes: attestations in an index, and a cache that is an index of blobs', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const image = await pushImage(store, from);
    const attestation = await pushImage(store, from);
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const about = {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': image.digest,
    };
    await pushIndexOf(
      store,
      from,
      [
        { ...entryOf(image), mediaType, platform: { os: 'linux', architecture: 'amd64' } },
        {
          ...entryOf(attestation),
          mediaType,
          platform: { os: 'unknown', architecture: 'unknown' },
          annotations: about,
        },
      ],
      'v1',
    );
    const layers = [await pushBlob(store, from), await pushBlob(store, from)];
    const config = { ...(await pushBlob(store, from)), mediaType: 'application/vnd.buildkit.cacheconfig.v0' };
    await pushIndexOf(store, from, [...layers, config], 'cache');
    for (const tag of ['v1', 'cache']) await promote(store, from, to, { from: tag, tag: parseTag(tag) });
    assert.equal(await pull(store, to, v1), await pull(store, from, v1));
    assert.equal(await pull(store, to, attestation.digest), attestation.digest);
    const { blobs } = createRegistry(store);
    for (const { digest } of [...layers, config]) await blobs.stat(to, digest);
  });

  it('of one platform points the tag at its image, with what is attached to that', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const [amd64, arm64] = [await pushImage(store, from), await pushImage(store, from)];
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const entries = [amd64, arm64].map((image, i) => ({
      ...entryOf(image),
      mediaType,
      platform: { os: 'linux', architecture: ['amd64', 'arm64'][i] },
    }));
    await pushIndexOf(store, from, entries, 'v1');
    const sbom = await attach(store, from, entryOf(arm64));
    await attach(store, from, entryOf(amd64));
    const platform = parsePlatform('linux/arm64') ?? assert.fail();
    const { digest, manifests } = await promote(store, from, to, { platforms: [platform] });
    assert.deepEqual([digest, manifests], [arm64.digest, 2]);
    assert.equal(await pull(store, to, v1), arm64.digest);
    assert.equal(await pull(store, to, amd64.digest), undefined);
    assert.deepEqual(await referrersOf(store, to, arm64.digest), [sbom]);
  });

  it('of one platform is refused if the image is for another one', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const fields = { os: 'linux', architecture: 'arm', variant: 'v7' };
    const config = await pushBlob(store, from, Buffer.from(JSON.stringify(fields)));
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [] }));
    await pushManifest(store, from, bytes, 'v1');
    const promoteFor = async (text: string) =>
      await promote(store, from, to, { platforms: [parsePlatform(text) ?? assert.fail()] });
    for (const other of ['linux/arm64', 'windows/arm', 'linux/arm/v6'])
      await assert.rejects(promoteFor(other), new RegExp(`is for linux/arm/v7, not for ${other}`));
    assert.equal(await pull(store, to, v1), undefined);
    await promoteFor('linux/arm');
    assert.equal(await pull(store, to, v1), digestOf(bytes));
  });

  it('brings what was attached since the image was promoted', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const image = await pushImage(store, from, 'v1');
    await promote(store, from, to);
    const signature = await attach(store, from, { digest: image.digest, size: image.bytes.length });
    const { isThere, referrers } = await promote(store, from, to);
    assert.deepEqual({ isThere, referrers }, { isThere: true, referrers: 1 });
    assert.deepEqual(await referrersOf(store, to, image.digest), [signature]);
  });

  it('is one event, whatever comes along, and costs two more writes', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const { digest } = await pushIndexed(store, from);
    await attach(store, from, { digest, size: 1 });
    const deliveries = new Deliveries(store);
    await promote(store, from, to, { announces: true });
    await deliveries.look();
    const changes = deliveries.events.map(({ change }) => change);
    assert.deepEqual(
      changes.map(({ action, repository }) => ({ action, repository })),
      [{ action: 'pushed', repository: to }],
    );
    assert.ok(changes[0]?.action === 'pushed' && changes[0].content === 'manifest');
    assert.deepEqual([changes[0].digest, changes[0].tags], [digest, ['v1']]);
    const image = await pushImage(store, from, 'v1');
    const writes = written(store);
    await promote(writes.store, from, to, { announces: true });
    // The intent, and the manifest's link again, in place of a look at it.
    assert.equal(writes.objects().length, image.blobs.length + 6);
    await deliveries.look();
    await promote(store, from, to, { announces: true });
    await deliveries.look();
    assert.equal(deliveries.events.length, 2);
  });

  it('without referrers leaves them', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const image = await pushImage(store, from, 'v1');
    await attach(store, from, { digest: image.digest, size: image.bytes.length });
    await promote(store, from, to, { referrers: false });
    assert.deepEqual(await referrersOf(store, to, image.digest), []);
  });

  it('by digest, without a tag, and with another tag', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const { digest } = await pushImage(store, from);
    await promote(store, from, to, { from: digest, tag: undefined });
    assert.deepEqual(await tagsOf(store, to), []);
    assert.equal(await pull(store, to, digest), digest);
    await promote(store, from, to, { from: digest, tag: parseTag('stable') });
    assert.deepEqual(await tagsOf(store, to), ['stable']);
  });

  it('does not move an immutable tag, and copies nothing then', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const other = await pushImage(store, to, 'v1');
    await pushImage(store, from, 'v1');
    const immutable = () => 'immutable-tags 1';
    const writes = written(store);
    await assert.rejects(promote(writes.store, from, to, { immutable }), TagImmutable);
    assert.equal(writes.objects().length, 0);
    assert.equal(await pull(store, to, v1), other.digest);
  });

  it('says what it would do, and does not', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const { digest } = await pushImage(store, from, 'v1');
    const writes = written(store);
    const { isThere, digest: found } = await promote(writes.store, from, to, { dryRun: true });
    assert.deepEqual([isThere, found, writes.objects().length], [false, digest, 0]);
  });

  it('of an image that lacks a blob is refused, and leaves no tag', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const image = await pushImage(store, from, 'v1');
    await createRegistry(store).blobs.delete(from, image.blobs[0] ?? image.digest);
    await assert.rejects(promote(store, from, to), /^RegistryError: blob sha256:\S+ is gone from repository/);
    assert.equal(await pull(store, to, v1), undefined);
  });

  it('replaces a tag whose link is damaged', async () => {
    const [{ store }, from, to] = [place(), freshName(), freshName()];
    const { digest } = await pushImage(store, from, 'v1');
    await store.put(tagLink(to, v1), Buffer.from('damaged'));
    await promote(store, from, to);
    assert.equal(await pull(store, to, v1), digest);
  });

  it('that is killed before any write leaves no tag to something incomplete, and is completed by a repetition', async () => {
    const { store } = place();
    const from = freshName();
    const { digest } = await pushIndexed(store, from);
    const sbom = await attach(store, from, { digest, size: 1 });
    await referrersOf(store, from, digest);
    for (let at = 0; ; at++) {
      const to = freshName();
      const dying = killed(store, at);
      const outcome = await promote(dying.store, from, to).catch((error: unknown) => error);
      if (!dying.happened()) break;
      assert.ok(outcome instanceof Error);
      // Fails for a tag to something that is not whole.
      assert.ok([undefined, digest].includes(await pull(store, to, v1)));
      await promote(store, from, to);
      assert.equal(await pull(store, to, v1), digest);
      assert.deepEqual(await referrersOf(store, to, digest), [sbom]);
    }
  });

  it('beside a delete of the source before any write leaves no tag to something incomplete', async () => {
    const { store } = place();
    for (let at = 0; ; at++) {
      const [from, to] = [freshName(), freshName()];
      const { digest } = await pushImage(store, from, 'v1');
      await referrersOf(store, from, digest);
      const beside = besideWrite(store, at, async () => {
        await remove(store, from, digest);
      });
      await promote(beside.store, from, to).catch(() => undefined);
      assert.ok([undefined, digest].includes(await pull(store, to, v1)));
      if (!beside.happened()) break;
    }
  });
});
