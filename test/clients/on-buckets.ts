import { after, before, describe } from 'node:test';
import type { BucketKind, Buckets, NewBucket } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';

/** Tests on buckets of one kind, one server for all of them. */
export function onBuckets(kind: BucketKind, tests: (newBucket: NewBucket) => void): void {
  describe(`on ${kind.name},`, requires(...kind.needs), () => {
    let buckets: Buckets;

    before(async () => {
      buckets = await kind.start();
    });

    after(async () => {
      await buckets.stop();
    });

    tests(async (more) => await buckets.newBucket(more));
  });
}
