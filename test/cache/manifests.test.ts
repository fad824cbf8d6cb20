import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { revisionLink, tagLink, upstreamPause } from '../../lib/registry/layout.ts';
import { exists } from '../../lib/registry/links.ts';
import { UpstreamError } from '../../lib/upstream/upstream.ts';
import {
  byDigest,
  digestOf,
  fresh,
  image,
  imageOf,
  indexOf,
  push,
  pushBlob,
  registry as atUpstream,
  tagged,
  types,
  unknown,
} from '../registry/manifest-steps.ts';
import { cacheFixture } from './cache-fixture.ts';

const fixture = cacheFixture();
const mirrored = (name: RepositoryName) => parseRepositoryName(`mirror/${name}`);

/** Asks the upstream each time. */
const always = { freshnessMs: 0 };

describe('manifests of a cache', () => {
  it('come from the upstream once, and from the bucket then', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    const digest = digestOf(bytes);
    upstream.asked.length = 0;
    const expected = { info: { digest, mediaType: types.ociImage, size: bytes.length }, bytes };
    assert.deepEqual(await start().manifests.get(mirrored(name), tagged('v1')), expected);
    // In another process as well.
    assert.deepEqual(await start().manifests.get(mirrored(name), tagged('v1')), expected);
    assert.deepEqual(await start().manifests.get(mirrored(name), byDigest(digest)), expected);
    assert.deepEqual(upstream.asked, [`resolve ${name}:v1`, `manifest ${name}@${digest}`]);
  });

  it('an index comes without its images, and each of them when it is pulled', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    const [one, other] = [await image(name), await image(name)];
    await push(name, one, digestOf(one));
    await push(name, other, digestOf(other));
    const index = indexOf([digestOf(one), digestOf(other)]);
    await push(name, index, 'v1');
    const cache = start();
    assert.deepEqual((await cache.manifests.get(mirrored(name), tagged('v1'))).bytes, index);
    upstream.asked.length = 0;
    assert.deepEqual((await cache.manifests.get(mirrored(name), byDigest(digestOf(one)))).bytes, one);
    assert.deepEqual(upstream.asked, [`manifest ${name}@${digestOf(one)}`]);
    assert.equal(await cache.manifests.has(mirrored(name), digestOf(other)), false);
  });

  it('a tag that has moved is found to have when it is no longer fresh', async () => {
    const { start } = fixture();
    const name = fresh();
    const [before, after] = [await image(name), await image(name)];
    await push(name, before, 'v1');
    const cache = start();
    await cache.manifests.get(mirrored(name), tagged('v1'));
    await push(name, after, 'v1');
    assert.deepEqual((await cache.manifests.get(mirrored(name), tagged('v1'))).bytes, before);
    assert.deepEqual((await start(always).manifests.get(mirrored(name), tagged('v1'))).bytes, after);
  });

  it('a tag that has not moved is fresh again, for all processes', async () => {
    const { start, store, upstream } = fixture();
    const name = fresh();
    await push(name, await image(name), 'v1');
    await start().manifests.get(mirrored(name), tagged('v1'));
    const link = tagLink(mirrored(name), 'v1' as never);
    const { lastModified } = await store.head(link);
    upstream.asked.length = 0;
    await start(always).manifests.get(mirrored(name), tagged('v1'));
    assert.deepEqual(upstream.asked, [`resolve ${name}:v1`]);
    assert.ok((await store.head(link)).lastModified > lastModified);
  });

  it('a tag is answered as it was while the upstream is down or limits requests, and says so', async () => {
    for (const kind of ['unavailable', 'limited'] as const) {
      const { start, upstream, events } = fixture();
      const name = fresh();
      const bytes = await image(name);
      await push(name, bytes, 'v1');
      await start().manifests.get(mirrored(name), tagged('v1'));
      upstream.failure = new UpstreamError(kind, 'no');
      events.length = 0;
      const found = await start({ ...always, account: kind }).manifests.get(mirrored(name), tagged('v1'));
      upstream.failure = undefined;
      assert.equal(found.isStale, true);
      assert.deepEqual(found.bytes, bytes);
      assert.deepEqual(
        events.map(({ kind: one }) => one),
        ['stale', 'hit', 'pushed'],
      );
    }
  });

  it('a tag that the upstream gives no answer for makes no other tag stale', async () => {
    const { start, upstream } = fixture();
    const [name, other] = [fresh(), fresh()];
    for (const one of [name, other]) {
      await push(one, await image(one), 'v1');
      await start().manifests.get(mirrored(one), tagged('v1'));
    }
    const cache = start({ ...always, id: 'c1' });
    const isStale = async (one: RepositoryName) =>
      (await cache.manifests.get(mirrored(one), tagged('v1'))).isStale;
    upstream.isDown = false;
    upstream.failure = new UpstreamError('unavailable', 'no');
    assert.equal(await isStale(name), true);
    upstream.failure = undefined;
    upstream.asked.length = 0;
    // It is not asked about the first one again at once.
    assert.deepEqual([await isStale(name), await isStale(other)], [true, undefined]);
    assert.deepEqual(upstream.asked, [`resolve ${other}:v1`]);
    upstream.isDown = undefined;
  });

  it('what is not cached is 429 or 503 meanwhile, with the time to come back', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    await push(name, await image(name), 'v1');
    const get = async (account: string) =>
      await start({ account }).manifests.get(mirrored(name), tagged('v1'));
    upstream.failure = new UpstreamError('limited', 'no', { retryAfterMs: 90_500 });
    await assert.rejects(get('a1'), { failure: 'TOO_MANY_REQUESTS', headers: { 'Retry-After': '91' } });
    upstream.failure = new UpstreamError('unavailable', 'no');
    await assert.rejects(get('a2'), { failure: 'UPSTREAM_UNAVAILABLE', headers: { 'Retry-After': '10' } });
    upstream.failure = undefined;
  });

  it('a pause that an upstream asks for is kept by all processes', async () => {
    const { start, store, upstream } = fixture();
    const name = fresh();
    await push(name, await image(name), 'v1');
    const account = 'b1';
    upstream.failure = new UpstreamError('limited', 'no', { retryAfterMs: 60_000 });
    await assert.rejects(start({ account }).manifests.get(mirrored(name), tagged('v1')), {
      failure: 'TOO_MANY_REQUESTS',
    });
    upstream.failure = undefined;
    upstream.asked.length = 0;
    await assert.rejects(start({ account }).manifests.get(mirrored(name), tagged('v1')), {
      failure: 'TOO_MANY_REQUESTS',
    });
    assert.deepEqual(upstream.asked, []);
    await store.put(
      upstreamPause(account),
      Buffer.from(JSON.stringify({ version: 1, until: Date.now() - 1 })),
    );
    await start({ account }).manifests.get(mirrored(name), tagged('v1'));
  });

  it('401 and 403 of the upstream are 403, and 404 is 404, also where something older is cached', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    await push(name, await image(name), 'v1');
    await start().manifests.get(mirrored(name), tagged('v1'));
    upstream.failure = new UpstreamError('denied', 'no');
    await assert.rejects(start(always).manifests.get(mirrored(name), tagged('v1')), {
      failure: 'DENIED',
      status: 403,
    });
    upstream.failure = new UpstreamError('unknown', 'no');
    await assert.rejects(start(always).manifests.get(mirrored(name), tagged('v1')), unknown);
    upstream.failure = undefined;
  });

  it('what the upstream does not have is not asked again at once', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    const cache = start();
    upstream.asked.length = 0;
    await assert.rejects(cache.manifests.get(mirrored(name), tagged('v1')), unknown);
    await assert.rejects(cache.manifests.get(mirrored(name), tagged('v1')), unknown);
    assert.deepEqual(upstream.asked, [`resolve ${name}:v1`]);
  });

  it('concurrent pulls ask the upstream once', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    const cache = start();
    upstream.asked.length = 0;
    await Promise.all(
      Array.from({ length: 64 }, async () => await cache.manifests.get(mirrored(name), tagged('v1'))),
    );
    assert.deepEqual(upstream.asked, [`resolve ${name}:v1`, `manifest ${name}@${digestOf(bytes)}`]);
  });

  it('repositories that are not allowed are refused without a request', async () => {
    const { start, upstream } = fixture();
    const cache = start({ allowed: ['team/**'] });
    upstream.asked.length = 0;
    await assert.rejects(cache.manifests.get(parseRepositoryName('mirror/other/app'), tagged('v1')), {
      failure: 'DENIED',
      message: /^other\/app is none of the repositories of upstream\.example\.com/,
    });
    assert.deepEqual(upstream.asked, []);
  });

  it('keep the prefix at the upstream if it has it as well', async () => {
    const { start, upstream } = fixture();
    const name = mirrored(fresh());
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    upstream.asked.length = 0;
    const cache = start({ stripPrefix: false, allowed: ['mirror/team/*'] });
    assert.deepEqual((await cache.manifests.get(name, tagged('v1'))).bytes, bytes);
    assert.deepEqual(upstream.asked, [`resolve ${name}:v1`, `manifest ${name}@${digestOf(bytes)}`]);
  });

  it('images for other platforms are refused, and not kept', async () => {
    const { start, store, upstream } = fixture();
    const name = fresh();
    const platforms = [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ];
    const configs = [
      ...platforms,
      { os: 'linux', architecture: 's390x' },
      { os: 'windows', architecture: 'amd64' },
    ];
    const images: Buffer[] = [];
    for (const config of [...configs, { os: 'unknown', architecture: 'unknown' }, {}]) {
      const bytes = Buffer.from(JSON.stringify({ ...config, id: images.length, name }));
      images.push(imageOf(await pushBlob(name, bytes), [await pushBlob(name)]));
    }
    for (const bytes of images) await push(name, bytes, digestOf(bytes));
    await push(name, indexOf(images.map((bytes) => digestOf(bytes))), 'index');
    await push(name, images[2] ?? assert.fail(), 's390x');
    const cache = start({ platforms });
    await cache.manifests.get(mirrored(name), tagged('index'));
    const outcomes: string[] = [];
    for (const bytes of images) {
      const found = cache.manifests.get(mirrored(name), byDigest(digestOf(bytes)));
      outcomes.push(
        await found.then(
          () => 'pulled',
          (error: unknown) => String(error),
        ),
      );
    }
    const refused = (platform: string) =>
      `RegistryError: images for ${platform} are not pulled through this registry, only for linux/amd64, linux/arm64`;
    assert.deepEqual(outcomes, [
      ...['pulled', 'pulled', refused('linux/s390x'), refused('windows/amd64')],
      // Attestations, and what is no image, have none.
      ...['pulled', 'pulled'],
    ]);
    await assert.rejects(cache.manifests.get(mirrored(name), tagged('s390x')), { failure: 'DENIED' });
    // By the digest again, and by the tag, nothing is asked for twice.
    upstream.asked.length = 0;
    await assert.rejects(cache.manifests.get(mirrored(name), tagged('s390x')), { failure: 'DENIED' });
    await assert.rejects(
      cache.manifests.get(mirrored(name), byDigest(digestOf(images[2] ?? assert.fail()))),
      {
        failure: 'DENIED',
      },
    );
    assert.deepEqual(upstream.asked, []);
    const there = images.map(
      async (bytes) => await exists(store, revisionLink(mirrored(name), digestOf(bytes))),
    );
    assert.deepEqual(await Promise.all(there), [true, true, false, false, true, true]);
    assert.equal(await exists(store, tagLink(mirrored(name), 's390x' as never)), false);
  });

  it('nothing can be pushed to them', async () => {
    const { start, store } = fixture();
    const name = fresh();
    const refused = { failure: 'UNSUPPORTED', message: /is a cache of upstream\.example\.com/ };
    const cache = start();
    const bytes = await image(name);
    await assert.rejects(cache.manifests.put(mirrored(name), tagged('v1'), bytes, undefined), refused);
    await assert.rejects(cache.uploads.start(mirrored(name)), refused);
    await assert.rejects(cache.blobs.mount(mirrored(name), digestOf(bytes), name), refused);
    await assert.rejects(cache.blobs.mountFromAnywhere(mirrored(name), digestOf(bytes)), refused);
    assert.equal(await exists(store, tagLink(mirrored(name), 'v1' as never)), false);
  });

  it('a delete empties the cache', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    const cache = start();
    await cache.manifests.get(mirrored(name), tagged('v1'));
    await cache.manifests.delete(mirrored(name), byDigest(digestOf(bytes)));
    upstream.asked.length = 0;
    assert.deepEqual((await cache.manifests.get(mirrored(name), tagged('v1'))).bytes, bytes);
    assert.deepEqual(upstream.asked, [`resolve ${name}:v1`, `manifest ${name}@${digestOf(bytes)}`]);
  });

  it('repositories of its own are none of the upstream', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    await push(name, await image(name), 'v1');
    upstream.asked.length = 0;
    await assert.rejects(start().manifests.get(name, tagged('v1')), unknown);
    assert.deepEqual(upstream.asked, []);
    await atUpstream().manifests.get(name, tagged('v1'));
  });
});
