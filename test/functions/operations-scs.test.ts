import { onBuckets } from '../clients/on-buckets.ts';
import { onScs } from '../servers/buckets.ts';
import { tableOfOperations } from './operations/table.ts';

onBuckets(onScs, (newBucket) => {
  tableOfOperations(newBucket);
});
