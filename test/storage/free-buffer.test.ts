import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import type { IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import { freeBuffer } from '../../lib/storage/free-buffer.ts';
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
});
