import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { concurrencyOf, costOfPulls, memory, needOf, needPerSecond } from '../../infra/docs/scale-model.ts';
import { scalePage, withTables } from '../../infra/docs/scale-tables.ts';
import { pricedRegions, prices } from '../../infra/prices.ts';
import { functions } from '../../infra/stack/functions.ts';
import { readParameters } from '../../infra/stack/parameters.ts';

describe('docs/scale.md', () => {
  it('has the tables that its model computes', () => {
    const page = readFileSync(scalePage, 'utf8');
    assert.equal(page, withTables(page), 'run: npm run docs');
  });

  it('is right in what it says of costs in words', () => {
    for (const region of pricedRegions) {
      const cost = (pulls: number) => {
        const { gateway, lambda, bucket, logs, servers } = costOfPulls(pulls, prices[region]);
        return { functions: gateway + lambda, all: gateway + lambda + bucket + logs, servers };
      };
      assert.ok(cost(1_000).all < 1);
      assert.ok(cost(250_000).functions < cost(250_000).servers);
      assert.ok(cost(350_000).functions > cost(350_000).servers);
      const share = cost(100_000_000).functions / cost(100_000_000).servers;
      assert.ok(share > 4.5 && share < 6, String(share));
    }
  });

  it('counts with the memory that functions have', () => {
    const deployed = functions(readParameters({ stage: 'prod', region: 'us-east-1' }), {});
    for (const [name, size] of Object.entries(memory))
      assert.equal(deployed[name]?.['memorySize'], size, name);
  });

  it('follows from requests, their times and Little’s law', () => {
    // HEAD without a token, the token, HEAD; two manifests; the config and four layers.
    assert.equal(needOf('full').requests, 3 + 2 + 5);
    assert.equal(needOf('full').bucketRequests, 3 + 2 * 2 + 5 * 2);
    assert.equal(needOf('check').tokenMs, 60);
    const { mean, peak } = needPerSecond(86_400);
    assert.equal(mean.requests, 0.8 * 3 + 0.2 * 10);
    assert.equal(concurrencyOf(peak).token, (4 * 60) / 1000);
  });
});
