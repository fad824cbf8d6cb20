import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { blobData, layerLink, repositoriesPrefix, uploadsPrefix } from '../../lib/registry/layout.ts';
import { exists } from '../../lib/registry/links.ts';
import type { ByteRange } from '../../lib/storage/store.ts';
import { UpstreamError } from '../../lib/upstream/upstream.ts';
import { fresh, pushBlob, registry as atUpstream } from '../registry/manifest-steps.ts';
import { cacheFixture } from './cache-fixture.ts';

const MiB = 1024 ** 2;
const fixture = cacheFixture();
const mirrored = (name: RepositoryName) => parseRepositoryName(`mirror/${name}`);

/** As a client pulls it. */
async function pull(
  cache: Registry,
  name: RepositoryName,
  digest: Digest,
  range?: ByteRange,
): Promise<Buffer> {
  const body = await opened(cache, name, digest, range);
  return Buffer.isBuffer(body) ? body : await buffer(body);
}

async function opened(
  cache: Registry,
  name: RepositoryName,
  digest: Digest,
  range?: ByteRange,
): Promise<Readable | Buffer> {
  const blob = await cache.blobs.stat(name, digest, { isPulled: true });
  await cache.blobs.url(name, blob);
  return await cache.blobs.open(name, blob, range);
}

/** Until a copy that runs in the background is in the bucket. */
async function untilStored(cache: Registry, name: RepositoryName, digest: Digest): Promise<void> {
  while (!(await cache.blobs.has(name, digest))) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('blobs of a cache', () => {
  it('go to the client and into the bucket at once', async () => {
    const { start, upstream, store } = fixture();
    const name = fresh();
    const bytes = randomBytes(3 * MiB);
    const digest = await pushBlob(name, bytes);
    const cache = start();
    const gate = Promise.withResolvers<undefined>();
    let given = 0;
    upstream.onPiece = async (piece) => {
      if (given >= MiB) await gate.promise;
      given += piece.length;
      return piece;
    };
    const body = (await opened(cache, mirrored(name), digest)) as Readable;
    const pieces = body.iterator() as AsyncIterator<Buffer>;
    let received = 0;
    while (received < MiB) received += ((await pieces.next()).value as Buffer).length;
    // The client has a third of it, and the bucket shows nothing yet.
    assert.equal(await exists(store, blobData(digest)), false);
    gate.resolve(undefined);
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next())
      received += next.value.length;
    assert.equal(received, bytes.length);
    assert.equal(await exists(store, layerLink(mirrored(name), digest)), true);
    upstream.asked.length = 0;
    assert.deepEqual(await pull(start(), mirrored(name), digest), bytes);
    assert.deepEqual(upstream.asked, []);
    upstream.onPiece = (piece) => piece;
  });

  it('a wrong byte of the upstream is never stored, and the client never gets all of it', async () => {
    for (const size of [1, 1000, 2 * MiB]) {
      const { start, upstream, store, failures } = fixture();
      const name = fresh();
      const digest = await pushBlob(name, randomBytes(size));
      let at = 0;
      upstream.onPiece = (piece) => {
        const other = Buffer.from(piece);
        if (at === 0) other[0] = (other[0] ?? 0) ^ 1;
        at += piece.length;
        return other;
      };
      const cache = start();
      failures.length = 0;
      const body = (await opened(cache, mirrored(name), digest)) as Readable;
      let received = 0;
      await assert.rejects(
        async () => {
          for await (const piece of body as AsyncIterable<Buffer>) received += piece.length;
        },
        { failure: 'DIGEST_INVALID' },
      );
      upstream.onPiece = (piece) => piece;
      assert.ok(received < size, `${received} of ${size}`);
      assert.equal(failures.length, 1);
      for (const key of [blobData(digest), layerLink(mirrored(name), digest)])
        assert.equal(await exists(store, key), false);
      // Nothing of it keeps the next one from being right.
      assert.equal((await pull(cache, mirrored(name), digest)).length, size);
    }
  });

  it('64 clients make one download, whenever they come and however they read', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    const bytes = randomBytes(5 * MiB);
    const digest = await pushBlob(name, bytes);
    const cache = start();
    upstream.asked.length = 0;
    const got = await Promise.all(
      Array.from({ length: 64 }, async (_, client) => {
        for (let turn = 0; turn < client; turn++) await new Promise(setImmediate);
        const range = client % 4 === 3 ? { start: client * 1000, end: 4 * MiB + client } : undefined;
        const body = await pull(cache, mirrored(name), digest, range);
        return body.equals(range === undefined ? bytes : bytes.subarray(range.start, range.end + 1));
      }),
    );
    assert.ok(got.every(Boolean));
    assert.deepEqual(upstream.asked, [`blob ${name}@${digest}`]);
  });

  it('a client that hangs up does not end the copy, and one that does not read does not stop it', async () => {
    const { start } = fixture();
    const name = fresh();
    const bytes = randomBytes(40 * MiB);
    const digest = await pushBlob(name, bytes);
    const cache = start();
    const [gone, still] = [
      (await opened(cache, mirrored(name), digest)) as Readable,
      (await opened(cache, mirrored(name), digest)) as Readable,
    ];
    const [first] = await Array.fromAsync(gone.take(1) as AsyncIterable<Buffer>);
    assert.ok((first?.length ?? 0) > 0);
    gone.destroy();
    await untilStored(cache, mirrored(name), digest);
    // It is far behind what is in memory, and goes on from the bucket.
    assert.ok((await buffer(still)).equals(bytes));
  });

  it('half a blob is no blob: when the upstream breaks off, nothing stays', async () => {
    const { start, upstream, store } = fixture();
    const name = fresh();
    const digest = await pushBlob(name, randomBytes(2 * MiB));
    let given = 0;
    upstream.onPiece = (piece) => {
      given += piece.length;
      if (given > MiB) throw new UpstreamError('unavailable', 'the connection broke');
      return piece;
    };
    await assert.rejects(pull(start(), mirrored(name), digest), { kind: 'unavailable' });
    upstream.onPiece = (piece) => piece;
    assert.equal(await exists(store, blobData(digest)), false);
    assert.deepEqual((await store.list({ prefix: uploadsPrefix })).objects, []);
    assert.deepEqual(await Array.fromAsync(store.listMultiparts(blobData(digest))), []);
  });

  it('HEAD tells the size without a copy', async () => {
    const { start, store } = fixture();
    const name = fresh();
    const digest = await pushBlob(name, randomBytes(1000));
    const cache = start();
    assert.deepEqual(await cache.blobs.stat(mirrored(name), digest), { digest, size: 1000 });
    assert.equal(await exists(store, blobData(digest)), false);
  });

  it('what another repository of the upstream has here already is not copied again, once the upstream has said that this one has it', async () => {
    const { start, upstream } = fixture();
    const [one, other, without] = [fresh(), fresh(), fresh()];
    const bytes = randomBytes(1000);
    const digest = await pushBlob(one, bytes);
    await pushBlob(other, bytes);
    const cache = start();
    await pull(cache, mirrored(one), digest);
    let copied = 0;
    upstream.onPiece = (piece) => {
      copied += 1;
      return piece;
    };
    assert.deepEqual(await pull(cache, mirrored(other), digest), bytes);
    await assert.rejects(pull(cache, mirrored(without), digest), { failure: 'BLOB_UNKNOWN' });
    upstream.onPiece = (piece) => piece;
    assert.ok(copied <= 1, 'only what was read ahead');
  });

  it('an upstream cannot name the blobs of repositories of its own to get them', async () => {
    const { start, store, upstream } = fixture();
    const name = fresh();
    const secret = randomBytes(1000);
    const digest = await pushBlob(name, secret);
    // The same bytes are in a private repository here, and the upstream claims to have them without sending them.
    const cache = start();
    const own = parseRepositoryName('private/app');
    await cache.uploads.put(own, digest, {
      body: (async function* () {
        yield await Promise.resolve(secret);
      })(),
      length: 1000,
    });
    upstream.onPiece = (piece) => Buffer.alloc(piece.length);
    await assert.rejects(pull(cache, mirrored(name), digest), { failure: 'DIGEST_INVALID' });
    upstream.onPiece = (piece) => piece;
    assert.equal(await exists(store, layerLink(mirrored(name), digest)), false);
  });

  it('a blob whose copy has failed is not opened, though another repository has its bytes', async () => {
    const { start, upstream } = fixture();
    const name = fresh();
    const secret = randomBytes(1000);
    const digest = await pushBlob(name, secret);
    const cache = start();
    await cache.uploads.put(parseRepositoryName('team/secret'), digest, {
      body: (async function* () {
        yield await Promise.resolve(secret);
      })(),
      length: 1000,
    });
    upstream.onPiece = (piece) => Buffer.alloc(piece.length);
    const blob = await cache.blobs.stat(mirrored(name), digest, { isPulled: true });
    const body = await cache.blobs.open(mirrored(name), blob);
    assert.ok(!Buffer.isBuffer(body));
    await assert.rejects(buffer(body), { failure: 'DIGEST_INVALID' });
    upstream.onPiece = (piece) => piece;
    assert.equal(await cache.blobs.url(mirrored(name), blob), undefined);
    await assert.rejects(cache.blobs.open(mirrored(name), blob), { failure: 'UNAVAILABLE' });
  });

  it('a blob that was deleted in one repository stays so there when a cache gets it again (CVE-2026-35172)', async () => {
    const { start } = fixture();
    const name = fresh();
    const bytes = randomBytes(1000);
    const digest = await pushBlob(name, bytes);
    const cache = start();
    const own = parseRepositoryName('team/deleted');
    await cache.uploads.put(own, digest, {
      body: (async function* () {
        yield await Promise.resolve(bytes);
      })(),
      length: 1000,
    });
    await cache.blobs.delete(own, digest);
    assert.deepEqual(await pull(cache, mirrored(name), digest), bytes);
    await assert.rejects(cache.blobs.stat(own, digest, { isPulled: true }), { failure: 'BLOB_UNKNOWN' });
    // And the other way round.
    await cache.blobs.delete(mirrored(name), digest);
    await atUpstream().blobs.delete(name, digest);
    await cache.uploads.put(own, digest, {
      body: (async function* () {
        yield await Promise.resolve(bytes);
      })(),
      length: 1000,
    });
    await assert.rejects(cache.blobs.stat(mirrored(name), digest, { isPulled: true }), {
      failure: 'BLOB_UNKNOWN',
    });
  });

  it('no repository appears for what the upstream does not have', async () => {
    const { start, store } = fixture();
    const name = fresh();
    const digest = await pushBlob(fresh(), randomBytes(10));
    await assert.rejects(pull(start(), mirrored(name), digest), { failure: 'BLOB_UNKNOWN' });
    assert.deepEqual((await store.list({ prefix: `${repositoriesPrefix}${mirrored(name)}` })).objects, []);
  });
});
