import { onBuckets } from '../clients/on-buckets.ts';
import { onMinio } from '../servers/buckets.ts';
import { tableOfOperations } from './operations/table.ts';

onBuckets(onMinio, (newBucket) => {
  tableOfOperations(newBucket, { functions: 'bytes' });
});
