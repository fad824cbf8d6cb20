import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { afterEach, it } from 'node:test';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { blobData, copyClaim, layerLink, uploadsPrefix } from '../../lib/registry/layout.ts';
import { exists } from '../../lib/registry/links.ts';
import { UpstreamError } from '../../lib/upstream/upstream.ts';
import { fresh, pushBlob } from '../registry/manifest-steps.ts';
import { onStores } from '../registry/on-stores.ts';
import { upstreamOfSteps } from './cache-fixture.ts';
import { FunctionInstance, mirrored } from './function-fixture.ts';

const MiB = 1024 ** 2;
const upstreamId = '0123456789abcdef';

/** By which a claim that is not renewed has run out, and after which wrong bytes are asked for again. */
const minuteMs = 60_000;

const upstream = upstreamOfSteps();

/** A blob that only the upstream has. */
async function blobAt(size: number): Promise<{ name: RepositoryName; bytes: Buffer; digest: Digest }> {
  const remote = fresh();
  const bytes = randomBytes(size);
  return { name: mirrored(remote), bytes, digest: await pushBlob(remote, bytes) };
}

async function read(
  registry: Pick<Registry, 'blobs'>,
  name: RepositoryName,
  digest: Digest,
): Promise<Buffer> {
  const body = await registry.blobs.open(name, await registry.blobs.stat(name, digest));
  return Buffer.isBuffer(body) ? body : await buffer(body);
}

/** Bytes of blobs that the upstream gives from now on. */
function countGiven(): () => number {
  let given = 0;
  upstream.onPiece = (piece) => {
    given += piece.length;
    return piece;
  };
  return () => given;
}

onStores('a copy that a function makes', (store, kind) => {
  // The rest is the same on all: what uploads do is tested elsewhere, and takes its time on some.
  const usually = (title: string, run: () => Promise<void>) => {
    if (['a folder', 'MinIO'].includes(kind)) void it(title, run);
  };
  const instance = (options: { laterMs?: number } = {}) =>
    new FunctionInstance(store(), upstream, { savedBytes: 6 * MiB, ...options });

  afterEach(() => {
    upstream.failure = undefined;
    upstream.onPiece = (piece) => piece;
  });

  usually('is of the right bytes, and nothing of it stays', async () => {
    const { name, bytes, digest } = await blobAt(15 * MiB + 7);
    assert.deepEqual(await instance().copy(name, digest), { kind: 'stored' });
    assert.deepEqual(await read(instance().registry, name, digest), bytes);
    assert.equal(await exists(store(), copyClaim(upstreamId, digest)), false);
    assert.deepEqual((await store().list({ prefix: uploadsPrefix })).objects, []);
    const given = countGiven();
    // Lambda may deliver an event twice.
    assert.deepEqual(await instance().copy(name, digest), { kind: 'stored' });
    assert.equal(given(), 0);
  });

  usually('goes on in the next invocation where the time was over', async () => {
    const { name, bytes, digest } = await blobAt(20 * MiB);
    const given = countGiven();
    const first = await instance().copy(name, digest, () => given() >= 8 * MiB);
    assert.ok(first.kind === 'unfinished' && first.bytes >= 7 * MiB);
    assert.equal(await exists(store(), layerLink(name, digest)), false);
    assert.deepEqual(await instance().copy(name, digest), { kind: 'stored' });
    assert.deepEqual(await read(instance().registry, name, digest), bytes);
    assert.ok(given() < 21 * MiB, `${given()} bytes`);
  });

  it('is one download, and who is killed in it is followed by another where it was', async () => {
    const { name, bytes, digest } = await blobAt(20 * MiB);
    const gate = Promise.withResolvers<undefined>();
    const stopped = Promise.withResolvers<undefined>();
    let given = 0;
    upstream.onPiece = async (piece) => {
      given += piece.length;
      if (given > 15 * MiB) {
        stopped.resolve(undefined);
        await gate.promise;
      }
      return piece;
    };
    const killed = instance().copy(name, digest);
    await stopped.promise;
    // While it is alive, nobody else begins.
    assert.deepEqual(await instance().copy(name, digest), { kind: 'left' });
    upstream.onPiece = (piece) => {
      given += piece.length;
      return piece;
    };
    const before = given;
    assert.deepEqual(await instance({ laterMs: minuteMs }).copy(name, digest), { kind: 'stored' });
    assert.deepEqual(await read(instance().registry, name, digest), bytes);
    // The 12 MiB that were saved did not come again.
    assert.ok(given - before <= 8 * MiB, `${given - before} bytes`);
    gate.resolve(undefined);
    // It was only stopped, and goes on: its upload is gone.
    await killed.catch(() => undefined);
    assert.deepEqual(await read(instance().registry, name, digest), bytes);
  });

  usually('that brings wrong bytes is neither stored nor repeated at once', async () => {
    for (const size of [MiB, 15 * MiB]) {
      const { name, digest } = await blobAt(size);
      let given = 0;
      upstream.onPiece = (piece) => {
        const other = Buffer.from(piece);
        if (given === 0) other[0] = (other[0] ?? 0) ^ 1;
        given += piece.length;
        return other;
      };
      const failed = await instance().copy(name, digest);
      assert.equal(failed.kind, 'failed');
      for (const key of [blobData(digest), layerLink(name, digest)])
        assert.equal(await exists(store(), key), false);
      assert.deepEqual((await store().list({ prefix: uploadsPrefix })).objects, []);
      const later = countGiven();
      assert.deepEqual(await instance().copy(name, digest), { kind: 'left' });
      assert.deepEqual(await instance({ laterMs: minuteMs }).copy(name, digest), { kind: 'left' });
      assert.equal(later(), 0);
      assert.deepEqual(await instance({ laterMs: 6 * minuteMs }).copy(name, digest), { kind: 'stored' });
    }
  });

  usually('that breaks keeps what has come, for the next one', async () => {
    const { name, bytes, digest } = await blobAt(10 * MiB);
    let given = 0;
    upstream.onPiece = (piece) => {
      if (given >= 8 * MiB) throw new UpstreamError('unavailable', 'the connection is gone');
      given += piece.length;
      return piece;
    };
    assert.equal((await instance().copy(name, digest)).kind, 'failed');
    const later = countGiven();
    assert.deepEqual(await instance({ laterMs: minuteMs }).copy(name, digest), { kind: 'stored' });
    assert.deepEqual(await read(instance().registry, name, digest), bytes);
    assert.ok(later() <= 4 * MiB, `${later()} bytes`);
  });

  usually(
    'of what the upstream does not have leaves nothing, and one of which it gives nothing is not repeated at once',
    async () => {
      const { name, digest } = await blobAt(MiB);
      upstream.failure = new UpstreamError('unknown', 'no');
      assert.equal((await instance().copy(name, digest)).kind, 'failed');
      assert.equal(await exists(store(), copyClaim(upstreamId, digest)), false);
      upstream.failure = new UpstreamError('unavailable', 'no');
      assert.equal((await instance().copy(name, digest)).kind, 'failed');
      assert.deepEqual(await instance().copy(name, digest), { kind: 'left' });
    },
  );

  it('was asked for by one of many instances', async (t) => {
    if (!store().limits.honoursOnlyIfAbsent) {
      t.skip('the store has no conditional writes');
      return;
    }
    const { name, digest } = await blobAt(5 * MiB);
    upstream.location = new URL('https://cdn.example.com/blob?signature=1');
    const instances = Array.from({ length: 32 }, () => instance());
    const pulls = await Promise.all(instances.map(async (one) => await one.pull(name, digest)));
    assert.ok(pulls.every(({ url, blob }) => url === upstream.location && blob.size === 5 * MiB));
    assert.equal(instances.flatMap(({ asked }) => asked).length, 1);
    upstream.location = undefined;
  });
});
