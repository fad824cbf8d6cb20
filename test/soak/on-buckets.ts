import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { BucketKind, Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import type { Weaknesses } from './registry-model.ts';
import { round } from './round.ts';

/** Many clients on several instances of a kind of bucket. */
export function soakOn(kind: BucketKind, seed: number, weaknesses: Weaknesses = {}): void {
  describe(`on ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;

    before(async () => {
      buckets = await kind.start();
    });

    after(async () => {
      await buckets.stop();
    });

    it('16 clients do 10,000 things on three instances, and each answer is right', async () => {
      const storage = await buckets.newBucket();
      const { steps } = await round({ storage, seed, steps: 10_000, ...weaknesses });
      const flickered = weaknesses.rewritesFlicker === true ? steps.flickered : 0;
      assert.deepEqual(steps, { answered: 10_000 - flickered, failed: 0, flickered });
      assert.ok(flickered < 200, `${flickered} answers had missed what was there`);
    });
  });
}
