import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { MemoryBudget } from '../../lib/storage/memory-budget.ts';
import { ReadSize, minReadSize } from '../../lib/storage/read-ahead.ts';

describe('the size of reads', () => {
  const MiB = 1024 * 1024;

  /** Reads as fast as may be. @returns the sizes */
  function read(size: ReadSize, bytes: number): number[] {
    const sizes: number[] = [];
    for (let passed = 0; passed < bytes; passed += sizes.at(-1) ?? 0) sizes.push(size.next());
    return sizes;
  }

  it('reads grow to 128 KiB at once, and further for a reader of more bytes than buffers hold', () => {
    const size = new ReadSize(new MemoryBudget(10 * MiB));
    const sizes = read(size, 12 * MiB);
    assert.deepEqual(
      sizes.slice(0, 5),
      [1, 2, 4, 8, 8].map((factor) => factor * minReadSize),
    );
    assert.equal(Math.max(...sizes), 128 * 1024);
    assert.equal(Math.max(...read(size, 8 * MiB)), 512 * 1024);
  });

  it('readers that stop early leave three quarters of the memory to others', () => {
    const shared = new MemoryBudget(4 * MiB);
    const sizes = Array.from({ length: 100 }, () => new ReadSize(shared));
    const largest = sizes.map((size) => Math.max(...read(size, 12 * MiB)));
    assert.equal(largest[0], 128 * 1024);
    assert.equal(largest.at(-1), minReadSize);
    assert.equal(shared.take(2.75 * MiB), true);
  });

  it('reads shrink for a reader that becomes slow', async () => {
    const size = new ReadSize(new MemoryBudget(10 * MiB));
    read(size, 20 * MiB);
    await delay(1100);
    assert.equal(size.next(), minReadSize);
  });

  it('reads share a memory limit, which is released when they end', () => {
    const shared = new MemoryBudget(MiB);
    const sizes = Array.from({ length: 10 }, () => new ReadSize(shared));
    const largest = sizes.map((size) => Math.max(...read(size, 20 * MiB)));
    assert.equal(largest[0], 512 * 1024);
    assert.equal(largest.at(-1), minReadSize);
    assert.equal(shared.take(MiB), false);
    for (const size of sizes) size.end();
    assert.equal(shared.take(MiB), true);
  });

  it('a reader keeps its claim until its last large read is consumed', async () => {
    const shared = new MemoryBudget(MiB);
    const size = new ReadSize(shared);
    read(size, 20 * MiB);
    await delay(1100);
    const most = 0.9 * MiB;
    size.next();
    assert.equal(shared.take(most), false);
    size.next();
    assert.equal(shared.take(most), true);
  });
});
