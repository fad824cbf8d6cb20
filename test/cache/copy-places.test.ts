import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { keepingRate } from '../../lib/cache/minimum-rate.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { UpstreamError } from '../../lib/upstream/upstream.ts';
import { fresh, pushBlob, registry as atUpstream, store } from '../registry/manifest-steps.ts';
import { cacheFixture } from './cache-fixture.ts';
import { RegistryUpstream } from './registry-upstream.ts';

const fixture = cacheFixture();

async function pull(cache: Registry, name: RepositoryName, digest: Digest): Promise<Buffer> {
  const blob = await cache.blobs.stat(name, digest, { isPulled: true });
  const body = await cache.blobs.open(name, blob);
  return Buffer.isBuffer(body) ? body : await buffer(body);
}

describe('copies of a slow upstream', () => {
  it('leave places for those of another one', async () => {
    const { start, upstream: slow } = fixture();
    const quick = new RegistryUpstream(atUpstream(store));
    const cache = start({}, { prefix: 'quick/', upstream: quick, account: 'fedcba9876543210' });
    const name = fresh();
    const digests = await Promise.all(
      Array.from({ length: 40 }, async () => await pushBlob(name, randomBytes(1000))),
    );
    const gate = Promise.withResolvers<undefined>();
    slow.onPiece = async (piece) => {
      await gate.promise;
      return piece;
    };
    slow.asked.length = 0;
    const mirrored = parseRepositoryName(`mirror/${name}`);
    const pulls = digests.map(async (digest) => await pull(cache, mirrored, digest));
    while (slow.asked.length < 16) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(
      (await pull(cache, parseRepositoryName(`quick/${name}`), digests[0] as Digest)).length,
      1000,
    );
    assert.equal(slow.asked.length, 16);
    gate.resolve(undefined);
    assert.equal((await Promise.all(pulls)).length, 40);
    slow.onPiece = (piece) => piece;
  });
});

describe('copies whose clients have hung up', () => {
  it('leave their places to others that wait, as many as those need', async () => {
    const { start, upstream } = fixture();
    const cache = start();
    const name = fresh();
    const mirrored = parseRepositoryName(`mirror/${name}`);
    const gate = Promise.withResolvers<undefined>();
    upstream.onPiece = async (piece) => {
      if (piece.length === 1000) await gate.promise;
      return piece;
    };
    const digests = await Promise.all(
      Array.from({ length: 16 }, async () => await pushBlob(name, randomBytes(1000))),
    );
    for (const digest of digests) {
      const body = await cache.blobs.open(
        mirrored,
        await cache.blobs.stat(mirrored, digest, { isPulled: true }),
      );
      if (!Buffer.isBuffer(body)) body.destroy();
    }
    const small = await pushBlob(name, randomBytes(10));
    assert.equal((await pull(cache, mirrored, small)).length, 10);
    gate.resolve(undefined);
    upstream.asked.length = 0;
    for (const digest of digests) assert.equal((await pull(cache, mirrored, digest)).length, 1000);
    assert.equal(upstream.asked.length, 1);
    upstream.onPiece = (piece) => piece;
  });
});

describe('the bytes of an upstream that drips', () => {
  it('end after a minute below the minimum rate', async (test) => {
    let now = 0;
    test.mock.method(performance, 'now', () => now);
    async function* pieces(count: number, bytes: number): AsyncGenerator<Buffer, void> {
      for (let piece = 0; piece < count; piece++) {
        now += 1000;
        yield await Promise.resolve(Buffer.alloc(bytes));
      }
    }
    const lengthOf = async (body: AsyncIterable<Buffer>, readerMs = 0) => {
      let length = 0;
      for await (const piece of keepingRate(body, 'upstream.example.com')) {
        length += piece.length;
        now += readerMs;
      }
      return length;
    };
    assert.equal(await lengthOf(pieces(300, 8192)), 300 * 8192);
    await assert.rejects(lengthOf(pieces(300, 8191)), (error: unknown) => {
      assert.ok(error instanceof UpstreamError && error.kind === 'unavailable');
      assert.match(error.message, /^upstream\.example\.com sends too slowly: 491460 bytes in 60 s$/);
      return true;
    });
    // A minute has not passed.
    assert.equal(await lengthOf(pieces(59, 1)), 59);
    // The bucket is slow, not the upstream.
    assert.equal(await lengthOf(pieces(59, 1), 60_000), 59);
  });
});
