import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { after, before, it } from 'node:test';
import type { Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { blobsPrefix, parseBlobData } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { digestOf as digestIn } from '../../lib/registry/uploads/content-hash.ts';
import { byDigest, bytesOf, digestOf, tagged, types } from '../registry/manifest-steps.ts';
import type { RegistryFate, RegistryProxy } from '../servers/registry-proxy.ts';
import { clientOf, startUpstreams, type Upstreams } from '../upstream/upstreams.ts';
import { cacheFixture } from './cache-fixture.ts';

const MiB = 1024 ** 2;

/** What a proxy before the upstream does to some requests. */
const fates = {
  'answers 429': { status: 429, headers: { 'retry-after': '0' } },
  'answers 500': { status: 500 },
  'cuts the body': 'cut',
  'sends a wrong byte': 'corrupt',
  'drops the connection': 'drop',
  'stalls before its answer': 'stall',
  'stalls in the body': 'stall-body',
} as const satisfies Readonly<Record<string, RegistryFate>>;

export type Fault = keyof typeof fates;
export const faults = Object.keys(fates) as readonly Fault[];

/** Milliseconds after which the cache takes an upstream that stalls for broken. */
const timeoutMs = 1000;

/** Attempts of a client. */
const maxAttempts = 10;

/** The fewest requests of the pull of an image. */
const minRequests = 5;

export interface FaultyUpstream {
  readonly registry: 'this registry, with tokens' | 'distribution, with basic authentication';
  readonly fault: Fault;
  /** How many requests come to one that is broken. */
  readonly every: number;
  /** Requests of the first of these that do not come. */
  readonly phase: number;
}

/** Registers tests of a cache whose upstream breaks some requests. */
export function faultyUpstreams(cases: readonly FaultyUpstream[]): void {
  const fixture = cacheFixture();
  let upstreams: Upstreams;

  before(async () => {
    upstreams = await startUpstreams();
  });

  after(async () => {
    await upstreams.stop();
  });

  for (const { registry, fault, every, phase } of cases)
    it(`${registry}: all that is answered and stored is right while it ${fault} at one of ${every} requests, first at number ${every - phase}`, async () => {
      const proxy = registry === 'this registry, with tokens' ? upstreams.withTokens : upstreams.withBasic;
      const images: Image[] = [];
      while (images.length * minRequests < every) images.push(await pushed());
      const cache = start(proxy);
      let hits = 0;
      proxy.reset();
      proxy.fate = (_, index) => {
        if ((index + 1 + phase) % every !== 0) return 'pass';
        hits++;
        return fates[fault];
      };
      // Each second request may be that for a token, each time.
      const mayFail = every <= 2;
      const left = await untilPulled(cache, images, mayFail ? 2 : maxAttempts).finally(() => {
        proxy.reset();
      });
      assert.ok(hits > 0, 'nothing was broken');
      assert.ok(left.length === 0 || mayFail, `it is not complete after ${maxAttempts} attempts`);
      await assertStored();
      // Nothing that was broken stays in the way.
      for (const image of left) await pull(start(proxy), image);
    });

  /** A process that has no connections to the proxy, and has been told of no pause. */
  function start(proxy: RegistryProxy): Registry {
    return fixture().start({ upstream: clientOf(proxy, { timeoutMs }), id: randomBytes(8).toString('hex') });
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

  /** As a client that comes again after an error. Whatever it gets must be right the first time. @returns what it has not got */
  async function untilPulled(
    cache: Registry,
    images: readonly Image[],
    attempts: number,
  ): Promise<readonly Image[]> {
    let done = 0;
    for (let attempt = 1; done < images.length && attempt <= attempts; attempt++)
      try {
        for (const image of images.slice(done)) {
          await pull(cache, image);
          done++;
        }
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
      }
    return images.slice(done);
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
  async function assertStored(): Promise<void> {
    const { store } = fixture();
    for (const { key } of (await store.list({ prefix: blobsPrefix })).objects) {
      const digest = parseBlobData(key);
      if (digest !== undefined) assert.equal(digestIn((await store.read(key, 2 * MiB)).bytes), digest);
    }
  }
}

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}
