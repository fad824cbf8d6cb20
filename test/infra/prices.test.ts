import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { costOf, pricedRegionOf, prices } from '../../infra/prices.ts';

const all = Object.values(prices).flatMap((region) => Object.entries(region));
const tiered = all.filter(([, price]) => Array.isArray(price));

describe('AWS prices', () => {
  it('add up tiers as in AWS’s own example of 432 million requests to an HTTP API', () => {
    const { httpApiRequest } = prices['us-east-1'];
    assert.equal(costOf(432e6, httpApiRequest).toFixed(2), '418.80');
  });

  it('count nothing below a free first tier', () => {
    const { dataOutGb } = prices['us-east-1'];
    assert.equal(costOf(100, dataOutGb), 0);
    assert.equal(costOf(200, dataOutGb).toFixed(2), '9.00');
  });

  it('have tiers that grow, end nowhere and become cheaper after what is free', () => {
    assert.ok(tiered.length > 10);
    for (const [name, list] of tiered as [string, readonly { upTo: number; price: number }[]][]) {
      assert.equal(list.at(-1)?.upTo, Infinity, name);
      const paid = list.filter(({ price }) => price > 0);
      assert.deepEqual(
        paid.toSorted((a, b) => a.upTo - b.upTo || b.price - a.price),
        paid,
        name,
      );
      assert.deepEqual(
        paid.toSorted((a, b) => b.price - a.price),
        paid,
        name,
      );
    }
  });

  it('of a region that is not known are those of us-east-1', () => {
    assert.equal(pricedRegionOf('eu-central-1'), 'eu-central-1');
    assert.equal(pricedRegionOf('ap-south-1'), 'us-east-1');
  });
});
