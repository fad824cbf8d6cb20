import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { BufferPool, type Claim } from '../../lib/registry/uploads/buffer-pool.ts';

describe('a buffer pool', () => {
  it('grants claims in order; a small claim does not overtake a large one', async () => {
    const pool = new BufferPool({ bytes: 10 });
    const first = await pool.claim(8);
    const granted: number[] = [];
    const note = (claim: Claim) => {
      granted.push(claim.bytes);
      return claim;
    };
    const others = [pool.claim(5).then(note), pool.claim(1).then(note)];
    await delay(10);
    assert.deepEqual(granted, []);
    first.release();
    await Promise.all(others);
    assert.deepEqual(granted, [5, 1]);
  });

  it('grants a claim above the total if no other claim is held', async () => {
    const pool = new BufferPool({ bytes: 10, waitMs: 20 });
    const large = await pool.claim(100);
    await assert.rejects(pool.claim(1), { failure: 'BUSY' });
    large.release();
    (await pool.claim(1)).release();
  });

  it('asks the oldest holder once to release memory, and only while others wait', async () => {
    const pool = new BufferPool({ bytes: 10, holdMs: 30 });
    const [one, two] = [await pool.claim(5), await pool.claim(5)];
    const asked: string[] = [];
    one.onReclaim(() => {
      asked.push('one');
      one.release();
    });
    two.onReclaim(() => asked.push('two'));
    await delay(60);
    assert.deepEqual(asked, []);
    (await pool.claim(5)).release();
    assert.deepEqual(asked, ['one']);
  });

  it('does not ask for memory that is being stored', async () => {
    const pool = new BufferPool({ bytes: 10, holdMs: 0, waitMs: 30 });
    const claim = await pool.claim(10);
    claim.onReclaim(() => assert.fail('it was asked for'));
    claim.pin();
    await assert.rejects(pool.claim(1), { failure: 'BUSY' });
  });

  it('does not ask for memory whose storing began while others waited', async () => {
    const pool = new BufferPool({ bytes: 10, holdMs: 20, waitMs: 60 });
    const claim = await pool.claim(10);
    claim.onReclaim(() => assert.fail('it was asked for'));
    const waits = assert.rejects(pool.claim(1), { failure: 'BUSY' });
    claim.pin();
    await waits;
  });

  it('asks only the last reclaim callback of a claim', async () => {
    const pool = new BufferPool({ bytes: 10, holdMs: 0, waitMs: 30 });
    const claim = await pool.claim(10);
    const asked: string[] = [];
    for (const which of ['first', 'second']) claim.onReclaim(() => asked.push(which));
    await assert.rejects(pool.claim(1), { failure: 'BUSY' });
    assert.deepEqual(asked, ['second']);
  });

  it('a buffer pool continues with others after a claim times out', async () => {
    const pool = new BufferPool({ bytes: 10, waitMs: 20 });
    await pool.claim(6);
    const tooLarge = assert.rejects(pool.claim(10), { failure: 'BUSY' });
    const small = pool.claim(4);
    await tooLarge;
    assert.equal((await small).bytes, 4);
  });

  it('counts a claim that is released twice once', async () => {
    const pool = new BufferPool({ bytes: 10, waitMs: 20 });
    const [one] = [await pool.claim(5), await pool.claim(5)];
    one.release();
    one.release();
    await pool.claim(5);
    await assert.rejects(pool.claim(1), { failure: 'BUSY' });
  });

  it('keeps buffers for reuse, up to its total size', async () => {
    const pool = new BufferPool({ bytes: 10 });
    const claims = [await pool.claim(4), await pool.claim(4)];
    const buffers = claims.map((claim) => pool.buffer(claim.bytes));
    for (const [i, claim] of claims.entries()) claim.release(buffers[i]);
    const again = await pool.claim(4);
    assert.ok(buffers.includes(pool.buffer(again.bytes)));
    // There is no room for the other one beside this.
    pool.buffer((await pool.claim(5)).bytes);
    again.release();
    assert.ok(!buffers.includes(pool.buffer((await pool.claim(4)).bytes)));
  });

  it('keeps no foreign buffers', async () => {
    const pool = new BufferPool({ bytes: 10 });
    const foreign = Buffer.alloc(4);
    (await pool.claim(4)).release(foreign);
    assert.notEqual(pool.buffer((await pool.claim(4)).bytes), foreign);
  });
});
