import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import type { IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import { freeBuffer, lendBuffer } from '../../lib/storage/free-buffer.ts';
import { bodyOf } from '../../lib/http/body.ts';
import { usualLimits } from '../../lib/http/limits.ts';

describe('the memory of chunks', () => {
  it('a buffer is freed if nothing else can use its memory', () => {
    const whole = Buffer.allocUnsafeSlow(1000);
    freeBuffer(whole.subarray(0, 999));
    assert.equal(whole.byteLength, 1000);
    freeBuffer(whole);
    assert.equal(whole.byteLength, 0);
    const pooled = Buffer.from('pooled');
    freeBuffer(pooled);
    assert.equal(pooled.toString(), 'pooled');
    const shared = new Uint8Array(new SharedArrayBuffer(8));
    freeBuffer(shared);
    assert.equal(shared.byteLength, 8);
  });

  it('lent memory goes back to its owner once, and is freed if that needs it no more', () => {
    for (const isNeeded of [true, false]) {
      const memory = Buffer.allocUnsafeSlow(1000);
      let returns = 0;
      lendBuffer(memory, () => {
        returns += 1;
        return isNeeded;
      });
      freeBuffer(memory.subarray(0, 10));
      assert.deepEqual([returns, memory.byteLength], [1, isNeeded ? 1000 : 0]);
      if (isNeeded) freeBuffer(memory.subarray(0, 10));
      assert.equal(returns, 1);
    }
  });

  it('a piece of a body is freed when the next is read, where its reader agrees', async () => {
    for (const freesPieces of [true, false]) {
      const sent = [1, 2, 3].map((byte) => Buffer.allocUnsafeSlow(1000).fill(byte));
      const request: unknown = Readable.from(sent, { objectMode: false, highWaterMark: 1 });
      const pieces: Uint8Array[] = [];
      for await (const piece of bodyOf(request as IncomingMessage, usualLimits.bodyRate, { freesPieces })) {
        assert.equal(piece.byteLength, 1000);
        assert.equal(piece[0], pieces.length + 1);
        pieces.push(piece);
      }
      const sizes = pieces.map(({ byteLength }) => byteLength);
      assert.deepEqual(sizes, freesPieces ? [0, 0, 0] : [1000, 1000, 1000]);
    }
  });

  it('pieces of a body that arrive together are passed on as they are', async () => {
    const request = new PassThrough();
    const sent = [1, 2, 3].map((byte) => Buffer.alloc(1000, byte));
    for (const bytes of sent) request.write(bytes);
    request.end();
    const pieces: Uint8Array[] = [];
    for await (const piece of bodyOf(request as unknown as IncomingMessage, usualLimits.bodyRate))
      pieces.push(piece);
    assert.deepEqual(
      pieces.map((piece) => sent.indexOf(piece as (typeof sent)[number])),
      [0, 1, 2],
    );
  });

  it('a body is not read on while its reader is busy, nor after it has stopped', async () => {
    const piece = Buffer.alloc(16 * 1024);
    let read = 0;
    const request = new Readable({
      highWaterMark: piece.byteLength,
      read() {
        read += 1;
        setImmediate(() => this.push(piece));
      },
    });
    const body = bodyOf(request as unknown as IncomingMessage, usualLimits.bodyRate);
    for (let taken = 1; taken < 40; taken++) {
      await body.next();
      const before = read;
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      assert.ok(read - before < 8, `${read - before} pieces were read meanwhile`);
      assert.ok(read < taken + 8, `${read} pieces were read for ${taken}`);
    }
    await body.return();
    const before = read;
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    assert.ok(read <= before + 1, `${read - before} pieces were read after the end`);
    assert.equal(request.destroyed, false);
    let more = 0;
    request.on('data', () => (more += 1)).resume();
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    assert.ok(more > 5, 'another reader cannot go on');
    request.destroy();
  });
});
