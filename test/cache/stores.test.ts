import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { it } from 'node:test';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { blobData, tagLink } from '../../lib/registry/layout.ts';
import { exists } from '../../lib/registry/links.ts';
import { UpstreamError } from '../../lib/upstream/upstream.ts';
import { fresh, image, push, pushBlob, tagged } from '../registry/manifest-steps.ts';
import { onStores } from '../registry/on-stores.ts';
import { fixtureOn } from './cache-fixture.ts';

const MiB = 1024 ** 2;
const mirrored = (name: RepositoryName) => parseRepositoryName(`mirror/${name}`);

/** Asks the upstream each time, also where dates are whole seconds, and so may be in the future. */
const always = -60_000;

async function pull(cache: Registry, name: RepositoryName, digest: Digest): Promise<Buffer> {
  const blob = await cache.blobs.stat(name, digest, { isPulled: true });
  const body = await cache.blobs.open(name, blob);
  return Buffer.isBuffer(body) ? body : await buffer(body);
}

onStores('a cache', (store) => {
  it('tags are asked about when they are old, confirmed for all, and answered while the upstream is down', async () => {
    const { start, upstream } = fixtureOn(store());
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    const get = async (freshnessMs: number) =>
      await start({ freshnessMs }).manifests.get(mirrored(name), tagged('v1'));
    await get(600_000);
    await get(600_000);
    assert.equal(upstream.asked.filter((one) => one.startsWith('resolve')).length, 1);
    await get(always);
    assert.equal(upstream.asked.filter((one) => one.startsWith('resolve')).length, 2);
    assert.equal(upstream.asked.filter((one) => one.startsWith('manifest')).length, 1);
    upstream.failure = new UpstreamError('unavailable', 'no');
    const found = await get(always);
    assert.equal(found.isStale, true);
    assert.deepEqual(found.bytes, bytes);
  });

  it('a tag that was deleted here meanwhile does not come back by a confirmation', async (t) => {
    if (!store().limits.honoursIfMatch) {
      t.skip('the store has no conditional writes');
      return;
    }
    const { start, upstream } = fixtureOn(store());
    const name = fresh();
    await push(name, await image(name), 'v1');
    await start().manifests.get(mirrored(name), tagged('v1'));
    const cache = start({ freshnessMs: always });
    upstream.onResolved = async () => {
      await cache.manifests.delete(mirrored(name), tagged('v1'));
    };
    await assert.rejects(cache.manifests.get(mirrored(name), tagged('v1')), { failure: 'MANIFEST_UNKNOWN' });
    assert.equal(await exists(store(), tagLink(mirrored(name), 'v1' as never)), false);
  });

  it('a blob of several parts comes once for all who pull it, and not at all if a byte is wrong', async () => {
    const { start, upstream } = fixtureOn(store());
    const name = fresh();
    const bytes = randomBytes(20 * MiB);
    const digest = await pushBlob(name, bytes);
    let at = 0;
    upstream.onPiece = (piece) => {
      at += piece.length;
      return at === 20 * MiB ? Buffer.alloc(piece.length) : piece;
    };
    const cache = start();
    await assert.rejects(pull(cache, mirrored(name), digest), { failure: 'DIGEST_INVALID' });
    assert.equal(await exists(store(), blobData(digest)), false);
    upstream.onPiece = (piece) => piece;
    upstream.asked.length = 0;
    const got = await Promise.all(
      Array.from({ length: 8 }, async () => (await pull(cache, mirrored(name), digest)).equals(bytes)),
    );
    assert.ok(got.every(Boolean));
    assert.equal(upstream.asked.length, 1);
    assert.ok((await pull(start(), mirrored(name), digest)).equals(bytes));
    assert.equal(upstream.asked.length, 1);
  });
});
