import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  HashThread,
  type HashInThread,
  type HashThreadOptions,
} from '../../lib/registry/uploads/hash-thread.ts';
import { startWorker } from '../../lib/registry/uploads/hash-worker.ts';

/** A thread, and the threads of the system that it has started. */
function thread(context: TestContext, options: HashThreadOptions = {}) {
  const started: Worker[] = [];
  const start = async () => {
    const worker = startWorker();
    started.push(worker);
    return await Promise.resolve(worker);
  };
  const failures: unknown[] = [];
  const hashing = new HashThread({
    start,
    onFailure: (error) => {
      failures.push(error);
    },
    ...options,
  });
  context.after(async () => {
    await hashing.close();
  });
  return { hashing, started, failures };
}

function taken(hashing: HashThread): HashInThread {
  const hash = hashing.take();
  assert.ok(hash !== undefined);
  return hash;
}

const sha256 = (...pieces: Buffer[]) => createHash('sha256').update(Buffer.concat(pieces)).digest('hex');

/** A copy in memory that threads share. */
function shared(bytes: Buffer): Buffer {
  const copy = Buffer.from(new SharedArrayBuffer(bytes.byteLength));
  copy.set(bytes);
  return copy;
}

const unavailable = { failure: 'UNAVAILABLE' };

describe('the thread that hashes large uploads', () => {
  it('computes the digest of pieces of all lengths, one blob after the other', async (context) => {
    const { hashing, started } = thread(context);
    for (const size of [0, 1, 55, 56, 63, 64, 65, 4096, 1_000_003]) {
      const pieces = [randomBytes(size), randomBytes(3), randomBytes(size)];
      const hash = taken(hashing);
      for (const piece of pieces) void hash.update(shared(piece));
      assert.equal(await hash.digest(), sha256(...pieces));
    }
    assert.equal(started.length, 1);
  });

  it('has read the bytes of shared memory once an update is resolved', async (context) => {
    const hash = taken(thread(context).hashing);
    const bytes = randomBytes(1024);
    const memory = shared(bytes);
    await hash.update(memory);
    memory.fill(0);
    assert.equal(await hash.digest(), sha256(bytes));
  });

  it('works for one blob at a time', async (context) => {
    const { hashing } = thread(context);
    const hash = taken(hashing);
    assert.equal(hashing.take(), undefined);
    await hash.digest();
    taken(hashing).end();
  });

  it('forgets a blob that is given up, and what that does later changes no other', async (context) => {
    const { hashing } = thread(context);
    const abandoned = taken(hashing);
    void abandoned.update(randomBytes(1000));
    abandoned.end();
    const [next, bytes] = [taken(hashing), randomBytes(1000)];
    abandoned.end();
    assert.equal(hashing.take(), undefined, 'it works for the next blob');
    await next.update(bytes);
    assert.equal(await next.digest(), sha256(bytes));
  });

  it('starts on demand, ends when idle, and starts again', async (context) => {
    const { hashing, started } = thread(context, { idleMs: 1 });
    assert.equal(hashing.isRunning, false);
    for (let round = 1; round <= 2; round++) {
      const bytes = randomBytes(100);
      const hash = taken(hashing);
      await hash.update(bytes);
      assert.equal(await hash.digest(), sha256(bytes));
      const [worker] = started.slice(-1);
      assert.ok(worker !== undefined);
      await once(worker, 'exit');
      assert.equal(hashing.isRunning, false);
      assert.equal(started.length, round);
    }
  });

  it('fails the blob it works for when it ends, and takes no other', async (context) => {
    const { hashing, started, failures } = thread(context);
    const hash = taken(hashing);
    await hash.update(randomBytes(100));
    await started[0]?.terminate();
    await assert.rejects(hash.update(randomBytes(100)), unavailable);
    await assert.rejects(hash.digest(), unavailable);
    hash.end();
    assert.equal(hashing.take(), undefined);
    assert.equal(failures.length, 1);
    assert.equal(hashing.isRunning, false);
  });

  it('fails updates that have no answer yet when it ends', async (context) => {
    const { hashing, started } = thread(context);
    const hash = taken(hashing);
    await hash.update(randomBytes(1));
    const rejected = assert.rejects(hash.update(shared(Buffer.alloc(64 * 1024 * 1024))), unavailable);
    await started[0]?.terminate();
    await rejected;
  });

  it('fails the blob when it cannot start', async (context) => {
    const start = async () => await Promise.reject(new Error('no threads'));
    const { hashing, failures } = thread(context, { start });
    await assert.rejects(taken(hashing).update(randomBytes(1)), unavailable);
    assert.equal(hashing.take(), undefined);
    assert.match(String(failures), /no threads/);
  });

  it('fails the blob when it throws', async (context) => {
    const start = async () => await Promise.resolve(new Worker('throw new Error("broken")', { eval: true }));
    const { hashing, failures } = thread(context, { start });
    await assert.rejects(taken(hashing).digest(), unavailable);
    assert.match(String(failures), /broken/);
  });

  it('fails the blob when it does not answer', async (context) => {
    const start = async () => await Promise.resolve(new Worker('for (;;);', { eval: true }));
    const { hashing, failures } = thread(context, { start, hangTimeoutMs: 50 });
    await assert.rejects(taken(hashing).digest(), unavailable);
    assert.match(String(failures), /does not respond/);
  });

  it('fails the blob when it is closed, which is no fault', async (context) => {
    const { hashing, failures } = thread(context);
    const hash = taken(hashing);
    await hash.update(randomBytes(1));
    await hashing.close();
    await assert.rejects(hash.digest(), unavailable);
    await sleep(0);
    assert.deepEqual(failures, []);
  });
});
