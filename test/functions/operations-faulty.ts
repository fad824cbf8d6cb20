import { after, describe } from 'node:test';
import { bucketProxy, type BucketProxy, type Fate } from '../servers/bucket-proxy.ts';
import { onSwift, proxied, type BucketKind, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { Random } from '../soak/random.ts';
import { tableOfOperations, type TableOptions } from './operations/table.ts';

const fates: readonly Fate[] = [
  { status: 503, code: 'SlowDown' },
  { status: 500, code: 'InternalError' },
  'drop-request',
  'drop-answer',
  'cut-body',
  'halve-body',
];

/** The table of operations, on a bucket of which each k-th request fails. Once in a process. */
export function operationsOnFaulty(
  kind: BucketKind,
  k: number,
  { functions }: Pick<TableOptions, 'functions'> = {},
): void {
  describe(
    `the table of operations on ${kind.name}, of whose requests each ${k}-th fails`,
    requires(...kind.needs),
    () => {
      let buckets: Buckets | undefined;
      let proxy: BucketProxy | undefined;

      after(async () => {
        await proxy?.stop();
        await buckets?.stop();
      });

      tableOfOperations(
        async () => {
          buckets = await kind.start();
          proxy = await bucketProxy(buckets.endpoint);
          const random = new Random(k);
          let requests = 0;
          proxy.intercept = ({ query }) => {
            // A client that was given a URL talks to the bucket itself, and the registry has no part in it.
            if (query.has('X-Amz-Signature') || query.has('Signature')) return 'pass';
            return ++requests % k === 0 ? random.one(fates) : 'pass';
          };
          const storage = await buckets.newBucket();
          return { ...storage, settings: proxied(kind, storage, proxy) };
        },
        { faulty: true, missesOverwritten: kind === onSwift, ...(functions && { functions }) },
      );
    },
  );
}
