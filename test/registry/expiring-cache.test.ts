import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ExpiringCache, type Moment } from '../../lib/registry/expiring-cache.ts';

describe('a cache whose values expire', () => {
  let time: Moment;
  let cache: ExpiringCache<string, string>;

  const pass = (wallMs: number, monotonicMs: number) => {
    time = { wallMs: time.wallMs + wallMs, monotonicMs: time.monotonicMs + monotonicMs };
  };

  beforeEach(() => {
    time = { wallMs: 1_000_000, monotonicMs: 500 };
    cache = new ExpiringCache({
      ttlMs: 1000,
      maxSize: 10,
      sizeOf: (value) => value.length,
      clock: () => time,
    });
    cache.set('a', 'one');
  });

  it('a value is kept for its time and no longer, however often it is used', () => {
    pass(600, 600);
    assert.equal(cache.get('a'), 'one');
    pass(399, 399);
    assert.equal(cache.get('a'), 'one');
    pass(1, 1);
    assert.equal(cache.get('a'), undefined);
  });

  it('a value expires if only the wall clock has moved, as after a freeze', () => {
    pass(1000, 0);
    assert.equal(cache.get('a'), undefined);
  });

  it('a value expires if only the monotonic clock has moved, as when the time is corrected', () => {
    pass(0, 1000);
    assert.equal(cache.get('a'), undefined);
  });

  it('a value expires if the wall clock was set back', () => {
    pass(-1, 10);
    assert.equal(cache.get('a'), undefined);
  });

  it('the time of a value counts from when it was known', () => {
    const known = cache.now();
    pass(900, 900);
    cache.set('b', 'two', known);
    pass(100, 100);
    assert.equal(cache.get('b'), undefined);
  });

  it('the values used least recently make room for others', () => {
    cache.set('b', 'four');
    assert.equal(cache.get('a'), 'one');
    cache.set('c', 'five');
    assert.deepEqual(
      ['a', 'b', 'c'].map((key) => cache.get(key)),
      ['one', undefined, 'five'],
    );
    cache.set('d', 'too large for it');
    assert.deepEqual(
      ['a', 'c', 'd'].map((key) => cache.get(key)),
      ['one', 'five', undefined],
    );
  });

  it('the room of values that were replaced, removed or have expired is used again', () => {
    for (let i = 0; i < 5; i++) cache.set('a', `${i}`.repeat(10));
    assert.equal(cache.take('a'), '4444444444');
    assert.equal(cache.take('a'), undefined);
    cache.set('a', 'x'.repeat(10));
    pass(1000, 1000);
    assert.equal(cache.get('a'), undefined);
    cache.set('b', 'y'.repeat(10));
    assert.equal(cache.get('b'), 'y'.repeat(10));
  });
});
