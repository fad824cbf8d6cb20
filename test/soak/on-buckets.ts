import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { BucketKind, Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import type { Weaknesses } from './registry-model.ts';
import { round } from './round.ts';

export interface Soak extends Weaknesses {
  readonly seed: number;
  readonly steps: number;
}

/** Many clients on several instances of a kind of bucket. */
export function soakOn(kind: BucketKind, { seed, steps, ...weaknesses }: Soak): void {
  describe(`on ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;

    before(async () => {
      buckets = await kind.start();
    });

    after(async () => {
      await buckets.stop();
    });

    it(`16 clients get right responses to ${steps} operations on three instances`, async () => {
      const storage = await buckets.newBucket();
      const { steps: outcomes } = await round({ storage, seed, steps, ...weaknesses });
      const flickered = weaknesses.rewritesFlicker === true ? outcomes.flickered : 0;
      assert.deepEqual(outcomes, { answered: steps - flickered, failed: 0, flickered });
      assert.ok(flickered < steps / 50, `${flickered} answers had missed what was there`);
    });
  });
}
