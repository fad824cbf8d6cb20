import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { after, before, describe, it, mock } from 'node:test';
import { RateLimit } from '../../lib/upstream/rate-limit.ts';

const now = Date.parse('2026-11-28T00:00:00Z');
const nowSeconds = now / 1000;
const hourMs = 3_600_000;

describe('the pause that an upstream asks for', () => {
  before(() => {
    mock.timers.enable({ apis: ['Date'], now });
  });

  after(() => {
    mock.timers.reset();
  });

  for (const [status, headers, ms] of [
    // Refusals.
    [429, { 'retry-after': '7' }, 7_000],
    [503, { 'retry-after': '7' }, 7_000],
    [429, { 'retry-after': '0' }, 0],
    [429, { 'retry-after': 'Sat, 28 Nov 2026 00:00:30 GMT' }, 30_000],
    [429, { 'retry-after': 'Fri, 27 Nov 2026 00:00:00 GMT' }, 0],
    [429, { 'retry-after': String(nowSeconds + 20) }, 20_000],
    [429, { 'x-retry-after': '8' }, 8_000],
    [429, { 'x-retry-after': String(nowSeconds + 21) }, 21_000],
    [429, { 'ratelimit-reset': '9' }, 9_000],
    [429, { 'x-ratelimit-reset': String(nowSeconds + 22) }, 22_000],
    [503, { 'x-ratelimit-reset': '10' }, 10_000],
    [429, { 'retry-after': '7', 'x-retry-after': '8', 'ratelimit-reset': '9' }, 7_000],
    [429, { 'retry-after': 'soon', 'x-retry-after': '8' }, 8_000],
    [429, { 'retry-after': 'soon' }, 60_000],
    [429, {}, 60_000],
    [503, {}, undefined],
    [500, { 'retry-after': '7' }, undefined],
    // No registry is left alone for longer than an hour.
    [429, { 'retry-after': '3600' }, hourMs],
    [429, { 'retry-after': '3601' }, hourMs],
    [503, { 'retry-after': 'Mon, 28 Nov 2033 00:00:00 GMT' }, hourMs],
    [200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '86400' }, hourMs],
    // Answers that were the last permitted ones.
    [200, { 'ratelimit-remaining': '0;w=21600', 'ratelimit-reset': '11' }, 11_000],
    [200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(nowSeconds + 23) }, 23_000],
    [404, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '12' }, 12_000],
    [200, { 'ratelimit-remaining': '0;w=21600' }, undefined],
    [200, { 'ratelimit-remaining': '1;w=21600', 'ratelimit-reset': '11' }, undefined],
    [200, { 'retry-after': '7' }, undefined],
    [200, {}, undefined],
  ] as const satisfies readonly (readonly [number, IncomingHttpHeaders, number | undefined])[])
    it(`is ${String(ms)} ms for ${status} with ${JSON.stringify(headers)}`, async () => {
      const limit = new RateLimit('registry.example.com', 0);
      assert.equal(limit.read(status, headers), ms);
      const waiting = limit.wait();
      if (ms === undefined || ms === 0) await waiting;
      else await assert.rejects(waiting, { kind: 'limited', retryAfterMs: ms });
    });
});
