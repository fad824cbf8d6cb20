import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { PassThrough, Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ReconnectingBody } from '../../lib/storage/reconnecting-body.ts';
import { StoreUnavailable } from '../../lib/storage/store.ts';

const MiB = 1024 ** 2;
const bytes = randomBytes(8 * MiB);

/** A body that breaks off after some bytes, with an error or, like some servers, without one. */
function torn(from: number, to: number, how: 'error' | 'end'): Readable {
  return Readable.from(
    (async function* () {
      for (let at = from; at < to; at += 64_000)
        // As a socket gives them: each with memory of its own.
        yield await Promise.resolve(
          Buffer.from(Uint8Array.from(bytes.subarray(at, Math.min(to, at + 64_000))).buffer),
        );
      if (how === 'error') throw new Error('the connection was cut');
    })(),
    { objectMode: false },
  );
}

/** A body of which each piece has so many bytes at most. */
function steady(pieces: readonly number[], how: 'error' | 'end') {
  const opened: number[] = [];
  const next = (passed: number) => {
    opened.push(passed);
    return torn(passed, Math.min(bytes.length, passed + (pieces[opened.length - 1] ?? Infinity)), how);
  };
  const body = new ReconnectingBody(next(0), {
    key: 'blob',
    length: bytes.length,
    reopen: async (passed) => await Promise.resolve(next(passed)),
  });
  return { body, opened };
}

describe('a reconnecting body', () => {
  for (const how of ['error', 'end'] as const) {
    it(`a body reconnects after a connection ended with ${how === 'error' ? 'an error' : 'none'}`, async () => {
      const { body, opened } = steady([100_000, 0, MiB], how);
      assert.ok((await buffer(body)).equals(bytes));
      assert.deepEqual(opened, [0, 100_000, 100_000, 100_000 + MiB]);
    });

    it(`a body fails after repeated interruptions (${how})`, async () => {
      const { body, opened } = steady([0, 10, 10, 10, 10, 10], how);
      await assert.rejects(buffer(body), StoreUnavailable);
      assert.equal(opened.length, 4);
    });
  }

  it('a response gets all bytes over several connections, and each chunk is freed once it is sent', async () => {
    const { body } = steady([MiB, MiB], 'error');
    const [sent, kept]: [Buffer[], Buffer[]] = [[], []];
    const destination = new Writable({
      write(chunk: Buffer, _, done) {
        kept.push(chunk);
        setImmediate(() => {
          sent.push(Buffer.from(chunk));
          done();
        });
      },
    });
    await pipeline(body, destination);
    assert.ok(Buffer.concat(sent).equals(bytes));
    const parts = sent.filter((chunk, i) => kept[i]?.byteLength === chunk.byteLength);
    assert.equal(parts.length, 0);
  });

  it('a body may reconnect often while much data arrives in between', async () => {
    const { body, opened } = steady(Array<number>(20).fill(1.1 * MiB), 'error');
    assert.ok((await buffer(body)).equals(bytes));
    assert.equal(opened.length, 8);
  });

  it('a body fails if the rest cannot be opened', async () => {
    const body = new ReconnectingBody(torn(0, 10, 'error'), {
      key: 'blob',
      length: 20,
      reopen: async () => await Promise.reject(new Error('it was replaced')),
    });
    await assert.rejects(buffer(body), StoreUnavailable);
  });

  it('a body passes on no extra bytes', async () => {
    const body = new ReconnectingBody(Readable.from([bytes], { objectMode: false }), {
      key: 'blob',
      length: 10,
      reopen: async () => await Promise.reject(new Error('not needed')),
    });
    await assert.rejects(buffer(body), StoreUnavailable);
  });

  it('a body releases its connection while its reader is idle and others wait, and continues later', async () => {
    const sources: Readable[] = [];
    const open = (passed: number) => {
      const source = torn(passed, bytes.length, 'error');
      sources.push(source);
      return source;
    };
    const body = new ReconnectingBody(open(0), {
      key: 'blob',
      length: bytes.length,
      reopen: async (passed) => await Promise.resolve(open(passed)),
      isContended: () => true,
    });
    const pieces: Buffer[] = [];
    for await (const piece of body as AsyncIterable<Buffer>) {
      pieces.push(piece);
      if (pieces.length !== 20) continue;
      await delay(2500);
      assert.equal(sources[0]?.destroyed, true);
    }
    assert.equal(sources.length, 2);
    assert.ok(Buffer.concat(pieces).equals(bytes));
  });

  it('a body releases its connection once it has all bytes', async () => {
    const source = torn(0, 100_000, 'end');
    const body = new ReconnectingBody(source, {
      key: 'blob',
      length: 100_000,
      reopen: async () => await Promise.reject(new Error('not needed')),
    });
    body.read(0);
    await delay(50);
    assert.equal(source.destroyed, true);
    assert.ok((await buffer(body)).equals(bytes.subarray(0, 100_000)));
  });

  it('a body releases its connection when it is destroyed early', async () => {
    const silent = new PassThrough();
    silent.write('a');
    const body = new ReconnectingBody(silent, {
      key: 'blob',
      length: 10,
      reopen: async () => await Promise.reject(new Error('not needed')),
    });
    for await (const piece of body) {
      assert.equal(String(piece), 'a');
      break;
    }
    assert.ok(silent.destroyed);
    const never = new PassThrough();
    const unread = new ReconnectingBody(never, {
      key: 'blob',
      length: 10,
      reopen: async () => await Promise.reject(new Error('not needed')),
    });
    unread.destroy();
    assert.ok(never.destroyed);
  });
});
