import { onBuckets } from '../clients/on-buckets.ts';
import { onSwift } from '../servers/buckets.ts';
import { tableOfOperations } from './operations/table.ts';

onBuckets(onSwift, (newBucket) => {
  tableOfOperations(newBucket, { functions: 'bytes' });
});
