import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { copyClaim, layerLink, blobData } from '../../lib/registry/layout.ts';
import { exists } from '../../lib/registry/links.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { UpstreamError } from '../../lib/upstream/upstream.ts';
import { fresh, pushBlob } from '../registry/manifest-steps.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { upstreamOfSteps } from './cache-fixture.ts';
import { FunctionInstance, mirrored } from './function-fixture.ts';
import type { RegistryUpstream } from './registry-upstream.ts';

const MiB = 1024 ** 2;
const cdn = new URL('https://cdn.example.com/blob?signature=1');

describe('a blob of a cache, pulled through functions,', () => {
  let folder: Folder;
  let store: FilesystemStore;
  let upstream: RegistryUpstream;
  const instance = (options: ConstructorParameters<typeof FunctionInstance>[2] = {}) =>
    new FunctionInstance(store, upstream, options);

  before(async () => {
    folder = await temporaryFolder('function-blobs');
    store = await FilesystemStore.open(folder.path);
  });

  beforeEach(() => {
    upstream = upstreamOfSteps();
  });

  after(() => {
    folder.remove();
  });

  async function blobAt(size: number) {
    const remote = fresh();
    return { name: mirrored(remote), digest: await pushBlob(remote, randomBytes(size)) };
  }

  it('comes from where the upstream has it, until it is copied', async () => {
    const { name, digest } = await blobAt(MiB);
    upstream.location = cdn;
    const one = instance();
    assert.equal((await one.stat(name, digest, false)).size, MiB);
    assert.deepEqual(one.asked, []);
    for (let pull = 0; pull < 3; pull++) assert.equal((await one.pull(name, digest)).url, cdn);
    assert.deepEqual(one.asked, [{ repository: name, digest }]);
    assert.equal(await exists(store, layerLink(name, digest)), false);
    await one.copy(name, digest);
    upstream.asked.length = 0;
    assert.notEqual((await one.pull(name, digest)).url, cdn);
    assert.deepEqual(upstream.asked, []);
  });

  it('comes from there although nobody can be asked for a copy, and the next instance tries again', async () => {
    const { name, digest } = await blobAt(MiB);
    upstream.location = cdn;
    const refusing = instance({
      ask: async () => {
        await Promise.reject(new Error('no right to invoke it'));
      },
    });
    assert.equal((await refusing.pull(name, digest)).url, cdn);
    assert.equal(refusing.failures.length, 1);
    const next = instance();
    await next.pull(name, digest);
    assert.equal(next.asked.length, 1);
  });

  it('that the upstream sends itself is stored at once if it is small', async () => {
    const { name, digest } = await blobAt(4 * MiB);
    const one = instance();
    assert.equal((await one.pull(name, digest)).blob.size, 4 * MiB);
    assert.equal(await exists(store, layerLink(name, digest)), true);
    assert.deepEqual(one.asked, []);
  });

  it('that is small and wrong is neither stored nor given', async () => {
    const { name, digest } = await blobAt(MiB);
    upstream.onPiece = (piece) => Buffer.alloc(piece.length);
    await assert.rejects(instance().pull(name, digest), { failure: 'UNAVAILABLE', status: 503 });
    for (const key of [layerLink(name, digest), blobData(digest)])
      assert.equal(await exists(store, key), false);
  });

  it('that was said to be small, and is not, is not stored', async (test) => {
    const { name, digest } = await blobAt(5 * MiB);
    const location = async () => await Promise.resolve({ size: 10, url: undefined });
    test.mock.method(upstream, 'blobLocation', location);
    await assert.rejects(instance().pull(name, digest), { failure: 'UPSTREAM_UNAVAILABLE', status: 503 });
    assert.equal(await exists(store, layerLink(name, digest)), false);
  });

  it('that is large is refused for some seconds, until it is copied', async () => {
    const { name, digest } = await blobAt(4 * MiB + 1);
    const one = instance();
    for (let pull = 0; pull < 3; pull++)
      await assert.rejects(one.pull(name, digest), (error: { status?: number; headers?: object }) => {
        assert.equal(error.status, 503);
        assert.deepEqual(error.headers, { 'Retry-After': '10' });
        return true;
      });
    assert.deepEqual(one.asked, [{ repository: name, digest }]);
    assert.equal(await exists(store, copyClaim('0123456789abcdef', digest)), true);
    await one.copy(name, digest);
    assert.equal((await one.pull(name, digest)).blob.size, 4 * MiB + 1);
  });

  it('that another repository of the same upstream has is there at once', async () => {
    const [first, other] = [fresh(), fresh()];
    const bytes = randomBytes(5 * MiB);
    const digest = await pushBlob(first, bytes);
    await pushBlob(other, bytes);
    await instance().copy(mirrored(first), digest);
    const one = instance();
    assert.equal((await one.pull(mirrored(other), digest)).blob.size, 5 * MiB);
    assert.deepEqual(one.asked, []);
  });

  it('comes from the data plane, which copies it, if there is one and the upstream sends it itself', async () => {
    const { name, digest } = await blobAt(5 * MiB);
    const one = instance({ hasDataPlane: true });
    assert.deepEqual(await one.pull(name, digest), { blob: { digest, size: 5 * MiB }, url: undefined });
    upstream.location = cdn;
    assert.equal((await one.pull(name, digest)).url, cdn);
    // Without a function that copies, nobody else would.
    const alone = instance({ hasDataPlane: true, ask: undefined });
    assert.equal((await alone.pull(name, digest)).url, undefined);
  });

  it('is answered as on a server if the upstream does not give it', async () => {
    const { name, digest } = await blobAt(10);
    for (const [kind, status] of [
      ['unknown', 404],
      ['denied', 403],
      ['limited', 429],
      ['unavailable', 503],
    ] as const) {
      upstream.failure = new UpstreamError(kind, 'no', { retryAfterMs: 1 });
      await assert.rejects(instance().pull(name, digest), { status });
    }
  });
});
