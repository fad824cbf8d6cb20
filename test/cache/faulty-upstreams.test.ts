import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { blobsPrefix, parseBlobData } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { digestOf as digestIn } from '../../lib/registry/uploads/content-hash.ts';
import { byDigest, bytesOf, digestOf, tagged, types } from '../registry/manifest-steps.ts';
import type { RegistryFate, RegistryProxy } from '../servers/registry-proxy.ts';
import { requires } from '../servers/requires.ts';
import { clientOf, startUpstreams, type Upstreams } from '../upstream/upstreams.ts';
import { cacheFixture } from './cache-fixture.ts';

const MiB = 1024 ** 2;

/** What a proxy before the upstream does to every third request. */
const fates: Readonly<Record<string, RegistryFate>> = {
  'answers 429': { status: 429, headers: { 'retry-after': '0' } },
  'answers 500': { status: 500 },
  'cuts the body': 'cut',
  'sends a wrong byte': 'corrupt',
  'drops the connection': 'drop',
  'stalls before its answer': 'stall',
  'stalls in the body': 'stall-body',
};

describe('a cache of a registry that fails', requires('docker-registry'), () => {
  const fixture = cacheFixture();
  let upstreams: Upstreams;

  before(async () => {
    upstreams = await startUpstreams();
  });

  after(async () => {
    await upstreams.stop();
  });

  for (const [registry, proxy] of [
    ['this registry, with tokens', () => upstreams.withTokens],
    ['distribution, with basic authentication', () => upstreams.withBasic],
  ] as const)
    for (const [what, fate] of Object.entries(fates))
      it(`${registry}: all that is answered and stored is right while it ${what} at every third request`, async () => {
        const image = await pushed();
        const cache = start(proxy());
        proxy().reset();
        proxy().fate = (_, index) => (index % 3 === 2 ? fate : 'pass');
        await untilPulled(cache, image).finally(() => {
          proxy().reset();
        });
        await assertStored(image);
      });

  /** A process that has no connections to the proxy, and has been told of no pause. */
  function start(proxy: RegistryProxy): Registry {
    // Each stall takes as long.
    const upstream = clientOf(proxy, { timeoutMs: 3000 });
    return fixture().start({ upstream, id: randomBytes(8).toString('hex') });
  }

  interface Image {
    readonly name: RepositoryName;
    readonly manifest: Buffer;
    readonly config: Buffer;
    readonly layer: Buffer;
  }

  async function pushed(): Promise<Image> {
    const name = parseRepositoryName(`team/${randomBytes(4).toString('hex')}`);
    const registry = createRegistry(upstreams.store);
    const [config, layer] = [randomBytes(100), randomBytes(MiB)];
    const descriptors = await Promise.all(
      [config, layer].map(async (bytes) => {
        const digest = digestOf(bytes);
        await registry.uploads.put(name, digest, { body: pieces(bytes), length: bytes.length });
        return { mediaType: 'application/octet-stream', digest, size: bytes.length };
      }),
    );
    const [first, ...layers] = descriptors;
    const manifest = bytesOf({ schemaVersion: 2, mediaType: types.ociImage, config: first, layers });
    await registry.manifests.put(name, tagged('v1'), manifest, undefined);
    return { name, manifest, config, layer };
  }

  /** As a client that comes again after an error. Whatever it gets must be right the first time. */
  async function untilPulled(cache: Registry, image: Image): Promise<void> {
    for (let attempt = 1; ; attempt++)
      try {
        await pull(cache, image);
        return;
      } catch (error) {
        if (error instanceof assert.AssertionError || attempt === 10) throw error;
      }
  }

  async function pull(cache: Registry, { name: remote, manifest, config, layer }: Image): Promise<void> {
    const name = parseRepositoryName(`mirror/${remote}`);
    const { info } = await cache.manifests.get(name, tagged('v1'));
    assert.equal(info.digest, digestOf(manifest));
    const { bytes } = await cache.manifests.get(name, byDigest(info.digest));
    assert.ok(bytes.equals(manifest), 'the manifest has other bytes');
    for (const expected of [config, layer]) {
      const got = await read(cache, name, digestOf(expected));
      assert.ok(got.equals(expected), 'a blob has other bytes');
    }
  }

  async function read(cache: Registry, name: RepositoryName, digest: Digest): Promise<Buffer> {
    const blob = await cache.blobs.stat(name, digest, { isPulled: true });
    const body = await cache.blobs.open(name, blob);
    return Buffer.isBuffer(body) ? body : await buffer(body);
  }

  /** Everything in the bucket has its digest. */
  async function assertStored({ manifest, config, layer }: Image): Promise<void> {
    const { store } = fixture();
    const found = new Set<Digest>();
    for (const { key } of (await store.list({ prefix: blobsPrefix })).objects) {
      const digest = parseBlobData(key);
      if (digest === undefined) continue;
      assert.equal(digestIn((await store.read(key, 2 * MiB)).bytes), digest);
      found.add(digest);
    }
    for (const bytes of [manifest, config, layer]) assert.ok(found.has(digestOf(bytes)));
  }
});

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}
