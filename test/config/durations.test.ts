import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatDuration, parseDuration } from '../../lib/config/durations.ts';

describe("a duration in Go's form", () => {
  for (const [text, milliseconds] of [
    ['0', 0],
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['2h0m1s', 7_201_000],
    ['100ms', 100],
    ['1000000ns', 1],
    ['3000us', 3],
    ['3000µs', 3],
  ] as const)
    it(`${text} is ${milliseconds} ms`, () => {
      assert.equal(parseDuration(text), milliseconds);
    });

  for (const text of ['', '10', 's', '-1s', '1 s', '1d', '1s ', '1e3s', '.s', '10S'])
    it(`${JSON.stringify(text)} is none`, () => {
      assert.equal(parseDuration(text), undefined);
    });

  it('is written with the units that it needs', () => {
    const written = [0, 500, 5_000, 90_000, 600_000, 3_600_000, 5_430_000].map(formatDuration);
    assert.deepEqual(written, ['0s', '0.5s', '5s', '1m30s', '10m', '1h', '1h30m30s']);
  });
});
