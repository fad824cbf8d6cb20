import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { BufferPool, type Claim } from '../../lib/registry/uploads/buffer-pool.ts';

describe('a pool of memory', () => {
  it('grants claims in their order, a small one no sooner than a large one before it', async () => {
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

  it('grants a claim for more than there is when nobody else has any', async () => {
    const pool = new BufferPool({ bytes: 10, waitMs: 20 });
    const large = await pool.claim(100);
    await assert.rejects(pool.claim(1), { failure: 'BUSY' });
    large.release();
    (await pool.claim(1)).release();
  });

  it('asks who has held memory for longest to give it back, once, and only while others wait', async () => {
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

  it('asks for nothing that is being stored', async () => {
    const pool = new BufferPool({ bytes: 10, holdMs: 0, waitMs: 30 });
    const claim = await pool.claim(10);
    claim.onReclaim(() => assert.fail('it was asked for'));
    claim.pin();
    await assert.rejects(pool.claim(1), { failure: 'BUSY' });
  });

  it('asks for nothing that came to be stored while others waited', async () => {
    const pool = new BufferPool({ bytes: 10, holdMs: 20, waitMs: 60 });
    const claim = await pool.claim(10);
    claim.onReclaim(() => assert.fail('it was asked for'));
    const waits = assert.rejects(pool.claim(1), { failure: 'BUSY' });
    claim.pin();
    await waits;
  });

  it('asks once who said twice what to do', async () => {
    const pool = new BufferPool({ bytes: 10, holdMs: 0, waitMs: 30 });
    const claim = await pool.claim(10);
    const asked: string[] = [];
    for (const which of ['first', 'second']) claim.onReclaim(() => asked.push(which));
    await assert.rejects(pool.claim(1), { failure: 'BUSY' });
    assert.deepEqual(asked, ['second']);
  });

  it('goes on with others when one has waited for too long', async () => {
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

  it('keeps buffers for the next use, but in all no more bytes than it has to share', async () => {
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

  it('keeps no buffer of others', async () => {
    const pool = new BufferPool({ bytes: 10 });
    const foreign = Buffer.alloc(4);
    (await pool.claim(4)).release(foreign);
    assert.notEqual(pool.buffer((await pool.claim(4)).bytes), foreign);
  });
});
