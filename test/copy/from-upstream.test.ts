import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { copyImage, type CopyOptions } from '../../lib/copy/copy-image.ts';
import { fromUpstream } from '../../lib/copy/from-upstream.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { blobsPrefix } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import {
  digestOf,
  freshName,
  pull,
  pushImage,
  pushIndex,
  pushManifest,
  v1,
} from '../registry/undo/images.ts';
import type { RegistryFate, RegistryProxy, SeenRequest } from '../servers/registry-proxy.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { clientOf, startUpstreams, type Upstreams } from '../upstream/upstreams.ts';
import { attach, pushBlob, signatureTag } from './attached.ts';

const isBlob = ({ method, url }: SeenRequest) => method === 'GET' && url.includes('/blobs/');

describe('a copy from another registry', requires('docker-registry'), () => {
  let upstreams: Upstreams;
  let storage: TestStorage;
  let store: ObjectStore;
  let from: RepositoryName;
  let index: Digest;
  let attached: readonly Digest[];

  before(async () => {
    upstreams = await startUpstreams();
    from = freshName();
    const { store: theirs } = upstreams;
    const images = [await pushImage(theirs, from), await pushLarge(theirs, from)];
    index = await pushIndex(theirs, from, images, 'v1');
    attached = [await attach(theirs, from, { digest: index, size: 1 })];
    await pushImage(theirs, from, signatureTag(index));
  });
  beforeEach(async () => {
    upstreams.withTokens.reset();
    upstreams.withBasic.reset();
    // A storage that has none of the blobs.
    storage = await folderStorage();
    store = await storage.open();
  });
  after(async () => {
    await upstreams.stop();
  });

  /** An image with a layer of 3 MB. */
  async function pushLarge(theirs: ObjectStore, name: RepositoryName) {
    const [config, layer] = [
      await pushBlob(theirs, name),
      await pushBlob(theirs, name, randomBytes(3_000_000)),
    ];
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] }));
    await pushManifest(theirs, name, bytes);
    return { digest: digestOf(bytes), bytes, blobs: [config.digest, layer.digest] };
  }

  async function copy(
    proxy: RegistryProxy,
    to: RepositoryName,
    more: Partial<CopyOptions> = {},
    reference = 'v1',
  ) {
    const target = {
      registry: createRegistry(store, { secrets: ['a secret of a test'] }),
      name: to,
      immutable: undefined,
      pushedBy: 'operator:test',
    };
    const source = fromUpstream(clientOf(proxy, { timeoutMs: 1000 }), from);
    return await copyImage(source, target, parseReference(reference), { tag: v1, referrers: true, ...more });
  }

  /** The objects of blobs hold what their keys say. */
  async function assertNoWrongBytes() {
    for (const { key } of (await store.list({ prefix: blobsPrefix })).objects) {
      const [, hex = ''] = /\/([0-9a-f]{64})\/data$/.exec(key) ?? [];
      const { bytes } = await store.read(key, 10_000_000);
      assert.equal(digestOf(bytes), `sha256:${hex}`);
    }
  }

  it('goes on with other blobs while one stalls', async () => {
    const theirs = upstreams.store;
    const blobs = [];
    for (let i = 0; i < 8; i++) blobs.push(await pushBlob(theirs, from));
    const [config, ...layers] = blobs;
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
    await pushManifest(theirs, from, bytes);
    let stalled: string | undefined;
    upstreams.withTokens.fate = (seen) => {
      if (stalled !== undefined || !isBlob(seen)) return 'pass';
      stalled = seen.url;
      return 'stall';
    };
    await copy(upstreams.withTokens, freshName(), { tag: undefined }, digestOf(bytes));
    const urls = upstreams.withTokens.requests.filter(isBlob).map(({ url }) => url);
    const repeated = urls.lastIndexOf(stalled ?? '');
    assert.ok(repeated > 0);
    assert.equal(new Set(urls.slice(0, repeated)).size, blobs.length);
  });

  for (const kind of ['withTokens', 'withBasic'] as const)
    describe(kind === 'withTokens' ? 'with tokens' : 'with a password', () => {
      it('brings an index, its images and what is attached, and then asks for no blob again', async () => {
        const to = freshName();
        const first = await copy(upstreams[kind], to);
        // distribution has no API of referrers, and nobody has written their tag.
        const referrers = kind === 'withTokens' ? 2 : 1;
        assert.deepEqual(first, {
          digest: index,
          isThere: false,
          manifests: 3 + referrers,
          referrers,
          blobs: 4 + 2 * referrers,
          bytes: 3_000_160 + (kind === 'withTokens' ? 40 : 0),
        });
        assert.equal(await pull(store, to, v1), index);
        assert.equal((await pull(store, to, signatureTag(index) as typeof v1)) !== undefined, true);
        const { descriptors } = await createRegistry(store).referrers.list(
          to,
          index,
          { n: 10, last: undefined },
          undefined,
        );
        assert.deepEqual(
          descriptors.map(({ digest }) => digest),
          kind === 'withTokens' ? attached : [],
        );
        upstreams[kind].reset();
        const again = await copy(upstreams[kind], to);
        assert.deepEqual([again.isThere, again.manifests, again.bytes], [true, 0, 0]);
        assert.deepEqual(upstreams[kind].requests.filter(isBlob), []);
      });

      it('downloads also what another repository has, since a manifest may name any digest', async () => {
        const first = await copy(upstreams[kind], freshName());
        const to = freshName();
        const { bytes } = await copy(upstreams[kind], to);
        assert.ok(bytes > 0);
        assert.equal(bytes, first.bytes);
        assert.equal(await pull(store, to, v1), index);
      });

      const k = kind === 'withTokens' ? 2 : 3;
      const fates: readonly RegistryFate[] = [
        { status: 500 },
        { status: 503, headers: { 'retry-after': '0' } },
        { status: 429, headers: { 'retry-after': '0' } },
        'drop',
        'cut',
        'corrupt',
        'stall-body',
      ];
      it(`is complete although each ${k === 2 ? 'second' : 'third'} answer is broken in turn, and has no wrong byte`, async () => {
        const to = freshName();
        let [next, failures] = [0, 0];
        upstreams[kind].fate = (_, at) =>
          at % k === k - 1 ? (fates[next++ % fates.length] ?? 'pass') : 'pass';
        for (; failures < 20; failures++) {
          const outcome = await copy(upstreams[kind], to).catch((error: unknown) => error);
          await assertNoWrongBytes();
          assert.ok([undefined, index].includes(await pull(store, to, v1)));
          if (!(outcome instanceof Error)) break;
        }
        assert.equal(await pull(store, to, v1), index);
        assert.ok(next > 3);
      });

      it('never stores a wrong byte, and says so', async () => {
        upstreams[kind].fate = (seen) => (isBlob(seen) ? 'corrupt' : 'pass');
        await assert.rejects(
          copy(upstreams[kind], freshName()),
          /sent wrong bytes for blob .*nothing of it was stored/,
        );
        await assertNoWrongBytes();
      });
    });
});
