import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backoffMs } from '../../lib/notifications/delivery/backoff.ts';

const minuteMs = 60_000;

describe('the wait after failures of an endpoint', () => {
  for (const [failures, firstMs, random, ms] of [
    [1, 1000, 1, 1000],
    [2, 1000, 1, 2000],
    [3, 1000, 1, 4000],
    // The bound is five minutes,
    [9, 1000, 1, 256_000],
    [10, 1000, 1, 5 * minuteMs],
    [5000, 1000, 1, 5 * minuteMs],
    // or the first wait, if that is longer.
    [1, 10 * minuteMs, 1, 10 * minuteMs],
    [2, 10 * minuteMs, 1, 10 * minuteMs],
    // Any shorter time is as likely.
    [3, 1000, 0.5, 2000],
    [3, 1000, 0.25, 1000],
    [3, 1000, 0, 0],
  ] as const)
    it(`is ${ms} ms after ${failures}, with the first of ${firstMs} ms and chance ${random}`, () => {
      assert.equal(
        backoffMs(failures, firstMs, undefined, () => random),
        ms,
      );
    });

  for (const [retryAfterMs, random, ms] of [
    [7000, 1, 7000],
    [7000, 0, 7000],
    [10, 1, 1000],
    [60 * minuteMs, 1, 60 * minuteMs],
    [120 * minuteMs, 1, 60 * minuteMs],
  ] as const)
    it(`is ${ms} ms after the first, if the endpoint asks for ${retryAfterMs} ms, with chance ${random}`, () => {
      assert.equal(
        backoffMs(1, 1000, retryAfterMs, () => random),
        ms,
      );
    });
});
