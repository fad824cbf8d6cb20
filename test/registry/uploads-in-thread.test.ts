import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { after, before, it } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { digestFrom, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { threadedBytes } from '../../lib/registry/uploads/block-hash.ts';
import { HashThread } from '../../lib/registry/uploads/hash-thread.ts';
import { startWorker } from '../../lib/registry/uploads/hash-worker.ts';
import { onStores } from './on-stores.ts';

const MiB = 1024 * 1024;

/** Around the least that a thread takes, a part, and blocks of a part. */
const sizes = [
  threadedBytes - 1,
  threadedBytes,
  threadedBytes + 1,
  8 * MiB - 1,
  8 * MiB,
  8 * MiB + 1,
  8.5 * MiB,
  17 * MiB + 12_345,
];

/** For buckets, which are slower and collect whole parts. */
const fewSizes = [threadedBytes, 8 * MiB + 1, 9 * MiB];

const name = parseRepositoryName('in/thread');

const digestOf = (bytes: Buffer): Digest =>
  digestFrom('sha256', createHash('sha256').update(bytes).digest('hex'));

/** In pieces as a socket gives them. Calls back after each. */
async function* pieces(bytes: Buffer, then: () => unknown = () => undefined): AsyncGenerator<Buffer, void> {
  for (let at = 0; at < bytes.byteLength; at += 65_521) {
    yield Buffer.from(bytes.subarray(at, at + 65_521));
    await then();
  }
}

onStores('large uploads that a thread hashes', (store, kind) => {
  const tested = kind === 'a folder' ? sizes : fewSizes;
  let thread: HashThread;
  let registry: Registry;
  const workers: Worker[] = [];

  const fresh = () => {
    thread = new HashThread({
      start: async () => {
        const worker = startWorker();
        workers.push(worker);
        return await Promise.resolve(worker);
      },
    });
    registry = createRegistry(store(), { hashThread: thread });
  };

  before(fresh);

  after(async () => {
    await thread.close();
  });

  /** As docker does: one PATCH of unknown length, and a PUT. */
  const push = async (bytes: Buffer, digest = digestOf(bytes)) => {
    const id = await registry.uploads.start(name);
    const body = pieces(bytes);
    await registry.uploads.append(name, id, { body, start: 0, length: undefined, partial: false });
    return await registry.uploads.finish(name, id, digest, undefined);
  };

  const read = async (digest: Digest): Promise<Buffer> => {
    const body = await registry.blobs.open(name, await registry.blobs.stat(name, digest));
    return Buffer.isBuffer(body) ? body : await buffer(body);
  };

  it(`on ${kind}, below the least size none is started`, async () => {
    await push(randomBytes(threadedBytes - 1));
    assert.equal(thread.isRunning, false);
  });

  it(`on ${kind}, the digest is that of the bytes, at all sizes`, async () => {
    for (const size of tested) {
      const bytes = randomBytes(size);
      assert.equal((await push(bytes)).size, size);
      assert.ok((await read(digestOf(bytes))).equals(bytes), `${size} bytes`);
    }
    assert.equal(thread.isRunning, true);
  });

  it(`on ${kind}, uploads at once get each their own digest`, async () => {
    const blobs = tested.map((size) => randomBytes(size));
    await Promise.all(
      blobs.map(async (bytes, i) => {
        const digest = digestOf(bytes);
        const whole = { body: pieces(bytes), length: bytes.byteLength };
        await (i % 2 === 0 ? push(bytes) : registry.uploads.put(name, digest, whole));
      }),
    );
    for (const bytes of blobs) assert.ok((await read(digestOf(bytes))).equals(bytes));
  });

  it(`on ${kind}, a digest of other bytes is refused`, async () => {
    const [bytes, others] = [randomBytes(9 * MiB), randomBytes(9 * MiB)];
    await assert.rejects(push(bytes, digestOf(others)), { failure: 'DIGEST_INVALID' });
    const put = registry.uploads.put(name, digestOf(others), { body: pieces(bytes), length: undefined });
    await assert.rejects(put, { failure: 'DIGEST_INVALID' });
  });

  it(`on ${kind}, an upload that is continued after it has the digest of all its bytes`, async () => {
    const [first, second] = [randomBytes(9 * MiB), randomBytes(5 * MiB)];
    const id = await registry.uploads.start(name);
    for (const [bytes, start] of [[first, 0] as const, [second, first.byteLength] as const]) {
      const body = pieces(bytes);
      await registry.uploads.append(name, id, { body, start, length: undefined, partial: false });
    }
    const whole = Buffer.concat([first, second]);
    await registry.uploads.finish(name, id, digestOf(whole), undefined);
    assert.ok((await read(digestOf(whole))).equals(whole));
  });

  it(`on ${kind}, one that breaks off frees the thread`, async () => {
    const bytes = randomBytes(12 * MiB);
    let seen = 0;
    const breaksOff = pieces(bytes, () => {
      if (++seen === 180) throw new Error('broken off');
    });
    const id = await registry.uploads.start(name);
    const chunk = { body: breaksOff, start: 0, length: undefined, partial: false };
    await assert.rejects(registry.uploads.append(name, id, chunk), /broken off/);
    const free = thread.take();
    assert.ok(free !== undefined);
    free.end();
    await push(bytes);
  });

  it(`on ${kind}, one whose thread is killed fails, leaves no blob, and succeeds when it is sent again`, async () => {
    await thread.close();
    fresh();
    const bytes = randomBytes(20 * MiB);
    let seen = 0;
    const body = pieces(bytes, async () => {
      if (++seen === 150) await workers.at(-1)?.terminate();
    });
    const whole = { body, length: bytes.byteLength };
    const put = registry.uploads.put(name, digestOf(bytes), whole);
    await assert.rejects(put, { failure: 'UNAVAILABLE' });
    assert.equal(thread.isRunning, false);
    await assert.rejects(registry.blobs.stat(name, digestOf(bytes)), { failure: 'BLOB_UNKNOWN' });
    await push(bytes);
    assert.equal(thread.isRunning, false, 'it is hashed without a thread');
  });
});
