import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { UpstreamError } from '../../lib/upstream/upstream.ts';
import {
  descriptor,
  digestOf,
  fresh,
  image,
  imageOf,
  push,
  pushBlob,
  tagged,
} from '../registry/manifest-steps.ts';
import { cacheFixture } from './cache-fixture.ts';

const fixture = cacheFixture();
const mirrored = (name: RepositoryName) => parseRepositoryName(`mirror/${name}`);
const down = new UpstreamError('unavailable', 'no');

/** An image with two signatures and an SBOM. */
async function signed(
  name: RepositoryName,
): Promise<{ readonly subject: Digest; readonly all: readonly Digest[] }> {
  const bytes = await image(name);
  const subject = await push(name, bytes, 'v1');
  const all: Digest[] = [];
  for (const artifactType of ['application/x-signature', 'application/x-signature', 'application/x-sbom']) {
    const more = { artifactType, subject: descriptor(subject, { size: bytes.length }) };
    const referrer = imageOf(await pushBlob(name), [await pushBlob(name)], more);
    all.push(await push(name, referrer, digestOf(referrer)));
  }
  return { subject, all: all.toSorted() };
}

describe('the tags of a cache', () => {
  const list = async (cache: Registry, name: RepositoryName, n = 100, last = '') =>
    await cache.tags.list(mirrored(name), { n, last });

  it('are those of the upstream, page by page', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    await push(name, await image(name), 'v1', 'v2', 'v3');
    const cache = start();
    upstream.asked.length = 0;
    assert.deepEqual(await list(cache, name, 2), { names: ['v1', 'v2'], more: true, next: 'v2' });
    assert.deepEqual(await list(cache, name, 2, 'v2'), { names: ['v3'], more: false, next: undefined });
    assert.deepEqual(await list(cache, name, 0), { names: [], more: false });
    assert.deepEqual(await list(cache, name, 2, 'v'.repeat(2049)), { names: [], more: false });
    assert.deepEqual(upstream.asked, [`tags ${name} n=2 last=`, `tags ${name} n=2 last=v2`]);
  });

  it('are those that are here while the upstream is down, and say so', async () => {
    const { start, upstream } = fixture();
    const [name, cold] = [fresh(), fresh()];
    for (const each of [name, cold]) await push(each, await image(each), 'v1', 'v2');
    const cache = start();
    await cache.manifests.get(mirrored(name), tagged('v2'));
    upstream.failure = down;
    assert.deepEqual(await list(cache, name), { names: ['v2'], more: false, isStale: true });
    await assert.rejects(list(cache, cold), { failure: 'UPSTREAM_UNAVAILABLE', status: 503 });
    upstream.failure = undefined;
  });

  it('are those that are here once the upstream takes too long', async (t) => {
    const { start, upstream } = fixture();
    const [name, cold] = [fresh(), fresh()];
    for (const each of [name, cold]) await push(each, await image(each), 'v1', 'v2');
    const cache = start();
    await cache.manifests.get(mirrored(name), tagged('v2'));
    const stalled = Promise.withResolvers<undefined>();
    const asked = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    let count = 0;
    upstream.onTags = async () => {
      asked[count++]?.resolve(undefined);
      await stalled.promise;
    };
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const [warm, none] = [list(cache, name), list(cache, cold)];
    await Promise.all(
      asked.map(async ({ promise }) => {
        await promise;
      }),
    );
    t.mock.timers.tick(5000);
    assert.deepEqual(await warm, { names: ['v2'], more: false, isStale: true });
    // With nothing here, its answer is waited for.
    stalled.resolve(undefined);
    assert.deepEqual((await none).names, ['v1', 'v2']);
    upstream.onTags = async () => {
      await Promise.resolve();
    };
  });

  it('are none where the upstream has no such repository, refuses it, or it is not allowed', async () => {
    const { start, upstream } = fixture();
    const [name, missing] = [fresh(), fresh()];
    await push(name, await image(name), 'v1');
    await start().manifests.get(mirrored(name), tagged('v1'));
    await assert.rejects(list(start(), missing), { failure: 'NAME_UNKNOWN', status: 404 });
    upstream.failure = new UpstreamError('denied', 'no');
    await assert.rejects(list(start(), name), { failure: 'DENIED', status: 403 });
    upstream.failure = undefined;
    upstream.asked.length = 0;
    await assert.rejects(list(start({ allowed: ['other/**'] }), name), { failure: 'DENIED' });
    assert.deepEqual(upstream.asked, []);
  });
});

describe('the referrers of a manifest of a cache', () => {
  const list = async (
    cache: Registry,
    name: RepositoryName,
    subject: Digest,
    n = 100,
    last?: Digest,
    type?: string,
  ) => await cache.referrers.list(mirrored(name), subject, { n, last }, type);

  it('are those of the upstream, in pages, and of one type', async () => {
    const { start } = fixture();
    const name = fresh();
    const { subject, all } = await signed(name);
    const cache = start();
    const first = await list(cache, name, subject, 2);
    const digests = (page: typeof first) => page.descriptors.map(({ digest }) => digest);
    assert.deepEqual(digests(first), all.slice(0, 2));
    assert.equal(first.next, all[1]);
    const second = await list(cache, name, subject, 2, first.next);
    assert.deepEqual(digests(second), all.slice(2));
    assert.equal(second.next, undefined);
    const signatures = await list(cache, name, subject, 100, undefined, 'application/x-signature');
    assert.deepEqual(
      signatures.descriptors.map(({ artifactType }) => artifactType),
      ['application/x-signature', 'application/x-signature'],
    );
    // As one that verifies them goes on.
    for (const { digest } of signatures.descriptors)
      assert.equal(
        (await cache.manifests.get(mirrored(name), { kind: 'digest', digest })).info.digest,
        digest,
      );
    assert.deepEqual(await list(cache, name, subject, 0), { descriptors: [], next: undefined });
  });

  it('are those that are here while the upstream is down, and say so', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    const { subject, all } = await signed(name);
    const cache = start();
    const [pulled] = all as [Digest];
    await cache.manifests.get(mirrored(name), { kind: 'digest', digest: pulled });
    upstream.failure = down;
    const { descriptors, isStale } = await list(cache, name, subject);
    assert.deepEqual([descriptors.map(({ digest }) => digest), isStale], [[pulled], true]);
    upstream.failure = undefined;
  });
});
