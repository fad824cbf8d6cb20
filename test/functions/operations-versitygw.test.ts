import { onBuckets } from '../clients/on-buckets.ts';
import { onVersitygw } from '../servers/buckets.ts';
import { tableOfOperations } from './operations/table.ts';

onBuckets(onVersitygw, (newBucket) => {
  tableOfOperations(newBucket, { functions: 'bytes' });
});
